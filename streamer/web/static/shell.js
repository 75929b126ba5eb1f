// The theme: as the system has it, or dark, or light. It stays in a cookie, so that the next page comes in it at once.
(() => {
  const order = ["auto", "dark", "light"];
  const read = () => /(?:^|; )streamer-theme=(dark|light)/.exec(document.cookie)?.[1] ?? "auto";
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");

  const apply = (theme) => {
    const dark = theme === "auto" ? prefersDark.matches : theme === "dark";
    window.Quasar?.Dark.set(dark);
    const name = document.querySelector("[data-theme-button] .theme-name");
    if (name) name.textContent = `Theme: ${theme}`;
  };

  document.addEventListener("click", (event) => {
    if (!event.target.closest?.("[data-theme-button]")) return;
    const theme = order[(order.indexOf(read()) + 1) % order.length];
    const age = theme === "auto" ? 0 : 365 * 24 * 3600;
    document.cookie = `streamer-theme=${theme}; path=/; max-age=${age}; SameSite=Strict`;
    apply(theme);
  });
  prefersDark.addEventListener("change", () => read() === "auto" && apply("auto"));

  // The button is there once Vue has drawn the page.
  const drawn = new MutationObserver(() => {
    if (!document.querySelector("[data-theme-button]")) return;
    drawn.disconnect();
    const name = document.querySelector("[data-theme-button] .theme-name");
    if (name) name.textContent = `Theme: ${read()}`;
  });
  drawn.observe(document.documentElement, { childList: true, subtree: true });
})();
