// What is wider than the screen scrolls by itself; with a place in the tab order it does so by the keyboard too.
function reach() {
  for (const box of document.querySelectorAll("pre, .table-wrapper, math[display=block], nav.toc-tree, .sidebar-scroll")) {
    const scrolls = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
    if (scrolls) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}
addEventListener("load", reach);
addEventListener("resize", reach);
