// Choosing a skill shows where the text says it; choosing a marked place shows its skills. All in the browser.
(() => {
  const panel = (node) => node.closest(".finder") || document;

  function choose(root, wanted) {
    let first = null;
    let count = 0;
    root.querySelectorAll(".ad-text mark").forEach((mark) => {
      const shows = mark.dataset.skills.split(" ").some((number) => wanted.has(number));
      mark.classList.toggle("chosen", shows);
      if (shows) {
        count += 1;
        first = first || mark;
      }
    });
    root.querySelectorAll("button.pick").forEach((button) => {
      const isWanted = wanted.has(button.dataset.skill);
      button.setAttribute("aria-pressed", String(isWanted));
      button.closest("tr").classList.toggle("chosen", isWanted);
    });
    return { first, count };
  }

  function scrollCalmly(node) {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    node.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "center" });
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.pick");
    const mark = event.target.closest(".ad-text mark");
    if (button) {
      const again = button.getAttribute("aria-pressed") === "true";
      const { first } = choose(panel(button), again ? new Set() : new Set([button.dataset.skill]));
      if (first) scrollCalmly(first);
    } else if (mark) {
      const root = panel(mark);
      choose(root, new Set(mark.dataset.skills.split(" ")));
      const row = root.querySelector("tr.chosen");
      if (row) scrollCalmly(row);
    } else if (event.target.closest("#theme-switch")) {
      document.body.classList.toggle("dark");
    }
  });
})();
