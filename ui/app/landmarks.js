// What Streamlit's own page lacks for assistive technology: the sidebar as a navigation landmark, and the place to
// drop files as a group, whose name a role of "presentation" would hide. Streamlit draws both anew at any time.
(() => {
  if (window.padimLandmarks) return;
  const mend = () => {
    const sidebar = document.querySelector('[data-testid="stSidebarContent"]');
    if (sidebar && sidebar.getAttribute("role") !== "navigation") {
      sidebar.setAttribute("role", "navigation");
      sidebar.setAttribute("aria-label", "Pages");
    }
    for (const place of document.querySelectorAll('[data-testid="stFileUploaderDropzone"][role="presentation"]')) {
      place.setAttribute("role", "group");
    }
  };
  let asked = false;
  window.padimLandmarks = new MutationObserver(() => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      mend();
    });
  });
  window.padimLandmarks.observe(document.body, { childList: true, subtree: true });
  mend();
})();
