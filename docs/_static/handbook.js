// A block that scrolls can be reached and scrolled with the keyboard; one that fits is no stop on the way.
const SCROLLED = "pre, div.math, .table-wrapper";

function reachable() {
  for (const block of document.querySelectorAll(SCROLLED)) {
    if (block.scrollWidth > block.clientWidth) block.tabIndex = 0;
    else block.removeAttribute("tabindex");
  }
}

addEventListener("load", () => {
  document.querySelector(".sidebar-drawer")?.setAttribute("aria-label", "Pages");
  document.querySelector(".toc-drawer")?.setAttribute("aria-label", "Sections of this page");
  reachable();
});
addEventListener("resize", reachable);
document.addEventListener("toggle", reachable, true); // a folded block is opened
