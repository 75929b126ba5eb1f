// A file is chosen or dropped here, and sent as it is. All text is set as text.
export default {
  template: `<div class="upload" :class="{'is-over': isOver}" @dragover.prevent="isOver = true"
      @dragleave="isOver = false" @drop.prevent="drop">
    <input ref="file" type="file" class="upload-input" :accept="accept" :aria-label="label"
      :disabled="isSending || is_held" @change="send($refs.file.files[0])">
    <progress v-if="isSending" class="upload-bar" max="100" :value="percent" aria-label="Sent"></progress>
    <p class="upload-said" :class="{'is-bad': isBad}" role="status" aria-live="polite">{{ said }}</p>
  </div>`,
  props: { path: String, accept: String, label: String, max_bytes: Number, too_large: String, is_held: Boolean },
  data() {
    return { isOver: false, isSending: false, isBad: false, percent: 0, said: "" };
  },
  methods: {
    drop(event) {
      this.isOver = false;
      if (!this.isSending && !this.is_held) this.send(event.dataTransfer.files[0]);
    },

    send(file) {
      if (!file) return;
      if (file.size > this.max_bytes) {
        this.refuse(this.too_large); // the server would say the same
        return;
      }
      Object.assign(this, { isSending: true, isBad: false, percent: 0, said: `Sending ${file.name} …` });
      // fetch() does not tell how far it is.
      const request = new XMLHttpRequest();
      request.open("POST", `${this.path}?name=${encodeURIComponent(file.name)}`);
      request.setRequestHeader("content-type", "application/octet-stream");
      request.responseType = "json";
      request.upload.onprogress = (event) => (this.percent = event.total ? (event.loaded / event.total) * 100 : 0);
      request.onload = () => {
        if (request.status === 200) {
          this.finish(`${file.name} is here.`, false);
          this.$emit("uploaded", request.response.token);
        } else {
          this.refuse(request.response?.error ?? `the server answers ${request.status}`);
        }
      };
      request.onerror = () => this.refuse("the connection was lost: try again");
      request.send(file);
    },

    refuse(why) {
      this.finish(`${why.charAt(0).toUpperCase()}${why.slice(1)}.`, true);
    },

    finish(said, isBad) {
      Object.assign(this, { isSending: false, said, isBad });
      this.$refs.file.value = ""; // the same file may be chosen again
    },
  },
};
