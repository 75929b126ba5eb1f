// The wall of cameras: asks for what is new about once a second, and draws it. All text is set as text.
const HOUR_US = 3600e6;
// A page that has just been opened asks more often, until each camera in sight has its first picture.
const YOUNG_MS = 10_000;
const SOON_MS = 250;

const make = (tag, className, parent) => {
  const element = document.createElement(tag);
  element.className = className;
  parent?.append(element);
  return element;
};

const show = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};

const age = (us) => {
  const s = us / 1e6;
  if (us < -HOUR_US || us > 24 * HOUR_US) return "–";
  if (Math.abs(s) < 10) return `${s.toFixed(1)} s`;
  return Math.abs(s) < 100 ? `${s.toFixed(0)} s` : `${(s / 60).toFixed(0)} min`;
};

const percent = (share) => `${(share * 100).toFixed(share >= 0.9995 ? 0 : 1)} %`;

// One camera: its picture, and below it what the picture was called.
class Tile {
  constructor(name) {
    this.name = name;
    this.number = 0;
    this.captured_us = null;
    this.root = make("a", "tile");
    this.root.setAttribute("role", "listitem");
    const frame = make("div", "tile-frame", this.root);
    this.image = make("img", "tile-image", frame);
    this.image.alt = "";
    this.image.hidden = true;
    this.image.decoding = "async";
    this.none = make("div", "tile-none", frame);
    this.none.textContent = "no picture yet";
    this.age = make("span", "tile-age", frame);
    const head = make("div", "tile-head", this.root);
    this.title = make("span", "tile-name", head);
    this.title.textContent = name;
    this.state = make("span", "tag", head);
    const foot = make("div", "tile-foot", this.root);
    this.label = make("span", "tile-label", foot);
    this.score = make("span", "tile-score", foot);
    this.bar = make("span", "tile-bar", this.root);
    this.fill = make("span", "tile-fill", this.bar);
    this.note = make("div", "tile-note", this.root);
  }

  update(camera) {
    show(this.state, camera.state);
    this.state.className = `tag is-${camera.tone}`;
    this.root.title = camera.error ?? "";
    if (!camera.picture && this.number === 0 && camera.caption) this.describe(camera.caption);
  }

  draw(picture, blob) {
    const before = this.address;
    this.address = blob && URL.createObjectURL(blob);
    const done = (isShown) => {
      if (before) URL.revokeObjectURL(before);
      this.image.hidden = !isShown;
      this.none.hidden = isShown;
      if (!isShown) this.none.textContent = "cannot be shown";
    };
    this.image.onload = () => done(true);
    this.image.onerror = () => done(false);
    if (blob) this.image.src = this.address;
    else done(false);
    this.number = picture.number;
    this.captured_us = picture.captured_at_us;
    if (picture.caption) {
      this.describe(picture.caption);
    } else {
      show(this.label, "not classified yet");
      show(this.score, "");
      show(this.note, "");
      this.fill.style.width = "0";
      this.root.className = "tile";
      this.root.href = `/frame?id=${encodeURIComponent(picture.frame_id)}`;
      this.say("not classified yet");
    }
  }

  describe(caption) {
    const known = caption.status === "classified";
    const word = known ? caption.label : caption.status === "timed" ? "timed" : caption.reason || caption.status;
    show(this.label, word);
    show(this.score, known && caption.score != null ? percent(caption.score) : caption.status);
    this.fill.style.width = known && caption.score != null ? `${Math.min(caption.score, 1) * 100}%` : "0";
    const isWrong = known && caption.truth && caption.truth !== caption.label;
    const notes = [];
    if (isWrong) notes.push(`really ${caption.truth}`);
    if (caption.is_degraded) notes.push("made by the standby");
    show(this.note, notes.join(" · "));
    const tone = isWrong || caption.status === "dead-lettered" ? "bad" : caption.status === "skipped" ? "warn" : "good";
    this.root.className = `tile is-${tone}`;
    this.root.href = `/frame?id=${encodeURIComponent(caption.frame_id)}`;
    if (this.captured_us === null) this.captured_us = caption.captured_at_us;
    this.say(`${word} ${this.score.textContent}`);
  }

  say(what) {
    this.image.alt = `${this.name}: ${what}`;
    this.root.setAttribute("aria-label", `Camera ${this.name}, ${what}`);
  }

  tick(now_us) {
    show(this.age, this.captured_us === null ? "" : age(now_us - this.captured_us));
  }

  remove() {
    if (this.address) URL.revokeObjectURL(this.address);
    this.root.remove();
  }
}

export default {
  template: `<div class="wall-box">
    <div ref="grid" class="wall" role="list" aria-label="Cameras"></div>
  </div>`,
  props: { tile_px: Number, filter: String, paused: Boolean, group: String },
  mounted() {
    this.tiles = new Map();
    this.inSight = new Set();
    this.skew_us = 0;
    this.began_ms = performance.now();
    this.sight = new IntersectionObserver(
      (entries) => {
        for (const entry of entries) {
          if (entry.isIntersecting) this.inSight.add(entry.target.cameraName);
          else this.inSight.delete(entry.target.cameraName);
        }
        this.soon();
      },
      { rootMargin: "100px" },
    );
    this.onVisible = () => this.soon();
    document.addEventListener("visibilitychange", this.onVisible);
    this.clock = setInterval(() => this.tick(), 250);
    this.resize();
    this.ask();
  },
  unmounted() {
    this.isGone = true;
    clearTimeout(this.timer);
    clearInterval(this.clock);
    this.sight.disconnect();
    document.removeEventListener("visibilitychange", this.onVisible);
    for (const tile of this.tiles.values()) tile.remove();
  },
  watch: {
    tile_px() {
      this.resize();
    },
    filter() {
      this.sift();
    },
    paused() {
      this.soon();
    },
    group() {
      for (const tile of this.tiles.values()) tile.number = 0; // another group's numbers are others
      this.soon();
    },
  },
  methods: {
    resize() {
      this.$refs.grid.style.setProperty("--tile", `${this.tile_px || 220}px`);
    },

    // Ask at once, where a question is not on its way anyhow.
    soon() {
      if (this.isAsking || this.isGone) return;
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.ask(), 30);
    },

    async ask() {
      if (this.isGone || document.hidden || (this.paused && this.tiles.size)) return;
      this.isAsking = true;
      let wait_ms = 2000;
      try {
        const group = this.group || "";
        const numbers = Object.create(null); // a camera may be called __proto__
        for (const name of this.inSight) numbers[name] = this.tiles.get(name)?.number ?? 0;
        const response = await fetch("/api/wall", {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ numbers, group }),
        });
        if (response.ok) {
          const block = await response.arrayBuffer();
          // Meanwhile another group may have been chosen, and these are not its labels.
          wait_ms = group === (this.group || "") ? this.take(block) : 0;
        }
      } catch {
        // The server is away; the shell says so.
      } finally {
        this.isAsking = false;
        if (!this.isGone) {
          clearTimeout(this.timer);
          this.timer = setTimeout(() => this.ask(), wait_ms);
        }
      }
    },

    take(block) {
      const size = new DataView(block).getUint32(0);
      const head = JSON.parse(new TextDecoder().decode(new Uint8Array(block, 4, size)));
      this.skew_us = head.now_us - performance.now() * 1000;
      let at = 4 + size;
      let isNew = false;
      const names = new Set();
      for (const camera of head.cameras) {
        names.add(camera.name);
        let tile = this.tiles.get(camera.name);
        if (!tile) {
          tile = new Tile(camera.name);
          tile.root.cameraName = camera.name;
          this.tiles.set(camera.name, tile);
          isNew = true;
        }
        tile.update(camera);
        if (camera.picture) {
          const { size_bytes, content_type } = camera.picture;
          tile.draw(
            camera.picture,
            size_bytes ? new Blob([new Uint8Array(block, at, size_bytes)], { type: content_type }) : null,
          );
          at += size_bytes;
        }
      }
      for (const [name, tile] of this.tiles) {
        if (names.has(name)) continue;
        this.sight.unobserve(tile.root);
        this.inSight.delete(name);
        tile.remove();
        this.tiles.delete(name);
      }
      if (isNew) this.place(head.cameras);
      this.tick();
      if (isNew) return 50;
      const isYoung = performance.now() - this.began_ms < YOUNG_MS;
      const isWaiting = [...this.inSight].some((name) => this.tiles.get(name)?.number === 0);
      return isYoung && isWaiting ? SOON_MS : head.interval_ms;
    },

    // In the order that the server names them.
    place(cameras) {
      const grid = this.$refs.grid;
      cameras.forEach(({ name }, index) => {
        const { root } = this.tiles.get(name);
        if (grid.children[index] !== root) grid.insertBefore(root, grid.children[index] ?? null);
        this.sight.observe(root);
      });
      this.sift();
    },

    sift() {
      const wanted = (this.filter || "").toLowerCase();
      let shown = 0;
      for (const [name, tile] of this.tiles) {
        tile.root.hidden = !name.toLowerCase().includes(wanted);
        shown += !tile.root.hidden;
      }
      this.$emit("shown", { shown, cameras: this.tiles.size });
    },

    tick() {
      if (document.hidden) return;
      const now_us = performance.now() * 1000 + this.skew_us;
      for (const name of this.inSight) this.tiles.get(name)?.tick(now_us);
    },
  },
};
