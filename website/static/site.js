"use strict";
// A page that was opened from disk may not read other files: the search then lists titles, without their sentences.
if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// The keyboard can scroll what the mouse can: wide tables and formulas.
document.addEventListener("DOMContentLoaded", () => {
  for (const box of document.querySelectorAll(".table-wrapper, div.math, pre, div.highlight")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  }
  // What the theme leaves unsaid to a screen reader.
  for (const caption of document.querySelectorAll("p.caption[role=heading]")) caption.ariaLevel = "2";
  document.querySelector("aside.sidebar-drawer")?.setAttribute("aria-label", "The site");
  document.querySelector("aside.toc-drawer")?.setAttribute("aria-label", "This page");
});

// The explorer inside a page has the colours that the button of the page chooses: it cannot see the button itself.
document.addEventListener("DOMContentLoaded", () => {
  const frames = document.querySelectorAll("iframe.explorer");
  const tell = frame => frame.contentWindow.postMessage({ theme: document.body.dataset.theme || "auto" }, "*");
  for (const frame of frames) {
    frame.addEventListener("load", () => tell(frame));
    tell(frame);                                         // it may be loaded already
  }
  if (frames.length) {
    new MutationObserver(() => frames.forEach(tell)).observe(document.body, { attributes: true, attributeFilter: ["data-theme"] });
  }
});
