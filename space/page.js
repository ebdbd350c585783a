// Choosing a skill shows where the text says it; choosing a marked place shows its skills. All in the browser.
(() => {
  const panel = (node) => node.closest(".finder") || document;

  function choose(root, wanted) {
    let first = null;
    let count = 0;
    root.querySelectorAll(".ad-text mark").forEach((mark) => {
      const shows = mark.dataset.skills.split(" ").some((number) => wanted.has(number));
      mark.classList.toggle("chosen", shows);
      mark.setAttribute("aria-pressed", String(shows));
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

  // What a look shows at once, for those who listen.
  function say(root, words) {
    const line = root.querySelector("[aria-live=polite].unseen");
    if (line) line.textContent = words;
  }

  function scrollCalmly(node) {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    node.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "center" });
  }

  function chooseSkill(button) {
    const root = panel(button);
    const again = button.getAttribute("aria-pressed") === "true";
    const { first, count } = choose(root, again ? new Set() : new Set([button.dataset.skill]));
    if (first) scrollCalmly(first);
    say(root, again ? "" : `Shown at ${count} ${count === 1 ? "place" : "places"} of your text.`);
  }

  function choosePlace(mark) {
    const root = panel(mark);
    choose(root, new Set(mark.dataset.skills.split(" ")));
    const row = root.querySelector("tr.chosen");
    if (row) scrollCalmly(row);
    say(root, `Shows ${mark.title}.`);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.pick");
    const mark = event.target.closest(".ad-text mark");
    if (button) {
      chooseSkill(button);
    } else if (mark) {
      choosePlace(mark);
    } else if (event.target.closest("#theme-switch")) {
      document.body.classList.toggle("dark");
    }
  });

  document.addEventListener("keydown", (event) => {
    const mark = event.target.closest(".ad-text mark");
    if (mark && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      choosePlace(mark);
    }
  });
})();
