// Choosing a skill shows where the text says it; choosing a marked place shows its skills; a file that is dropped on the
// ad's box goes the way of "Open a file". All in the browser.
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
    const skills = mark.dataset.skills.split(" ");
    const pressed = root.querySelectorAll("button.pick[aria-pressed=true]");
    // A place that shares a skill with the chosen one is lit as well, and not chosen yet.
    const again = pressed.length === skills.length && [...pressed].every((row) => skills.includes(row.dataset.skill));
    choose(root, new Set(again ? [] : skills));
    const row = root.querySelector("tr.chosen");
    if (row) scrollCalmly(row);
    say(root, again ? "" : `Shows ${mark.title}.`);
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

  // The box beside a slider shows its value. Half of a number typed into it ("0" of "0.5") would be searched with.
  document.addEventListener("focusin", (event) => {
    if (event.target.matches("#settings input[type=number]")) event.target.readOnly = true;
  });

  const hasFiles = (event) => Array.from(event.dataTransfer?.types || []).includes("Files");
  const boxUnder = (event) => event.target.closest?.("#ad");

  function showDrag(isOverPage, isOverBox) {
    const box = document.querySelector("#ad");
    if (!box) return;
    box.classList.toggle("drop-here", isOverPage);
    box.classList.toggle("drop-now", isOverBox);
  }

  function sayOfDrop(words) {
    const line = document.querySelector("#drop-problem");
    if (line) line.textContent = words;
  }

  // Why a drop is not taken, "" where it is. What the server checks is left to it.
  function refusal(transfer, input) {
    const { files, items } = transfer;
    const kinds = input.accept.split(",").map((kind) => kind.trim());
    if (files.length !== 1) return files.length ? "Drop one file at a time." : "That is not a file.";
    if (items[0]?.webkitGetAsEntry?.()?.isDirectory) return "That is a folder. Drop one file.";
    const name = files[0].name.toLowerCase();
    return kinds.some((kind) => name.endsWith(kind)) ? "" : `Drop a file that ends in ${kinds.join(", ")}.`;
  }

  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    // Without this the browser would leave the page for a file that is dropped beside the box.
    event.preventDefault();
    const box = boxUnder(event);
    event.dataTransfer.dropEffect = box ? "copy" : "none";
    showDrag(true, Boolean(box));
  });

  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) showDrag(false, false);
  });

  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    showDrag(false, false);
    if (!boxUnder(event)) return;
    const input = document.querySelector("#open-file").parentElement.querySelector("input[type=file]");
    const problem = refusal(event.dataTransfer, input);
    sayOfDrop(problem);
    if (problem) return;
    input.files = event.dataTransfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
})();
