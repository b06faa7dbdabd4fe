"use strict";
// Search, filters and copy buttons of report.html. Without this script the page shows everything.
(() => {
  const finder = document.querySelector(".finder");
  const findings = [...document.querySelectorAll("details.finding")];
  const fields = finder ? [...finder.elements].filter((each) => each.name) : [];
  const texts = new Map(findings.map((each) => [each, each.textContent.toLowerCase()]));

  const fits = (finding) => fields.every(({ name, value }) => {
    if (!value) return true;
    if (name === "search") {
      return value.toLowerCase().split(/\s+/).every((word) => texts.get(finding).includes(word));
    }
    return JSON.parse(finding.dataset[name]).includes(value);
  });

  const filter = () => {
    let shown = 0;
    for (const finding of findings) {
      finding.hidden = !fits(finding);
      shown += finding.hidden ? 0 : 1;
    }
    for (const section of document.querySelectorAll("section[data-findings]")) {
      const mine = [...section.querySelectorAll("details.finding")];
      section.hidden = shown < findings.length && mine.every((each) => each.hidden);
    }
    finder.querySelector("output").value = `${shown} of ${findings.length} findings`;
  };

  const follow = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    if (target.closest("[hidden]")) {
      finder.reset();
      filter();
    }
    for (let each = target; each; each = each.parentElement) {
      if (each.tagName === "DETAILS") each.open = true;
    }
    target.scrollIntoView();
  };

  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  };

  for (const block of document.querySelectorAll("pre")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await copy(block.textContent);
      button.textContent = "Copied";
    });
    const frame = document.createElement("div");
    frame.className = "copied";
    block.replaceWith(frame);
    frame.append(block, button);
  }

  if (finder) {
    finder.addEventListener("input", filter);
    finder.addEventListener("reset", () => setTimeout(filter));
    finder.addEventListener("submit", (event) => event.preventDefault());
    finder.hidden = findings.length === 0;
    filter();
  }
  addEventListener("hashchange", follow);
  follow();
})();
