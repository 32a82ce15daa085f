/* What a reader has chosen on an interactive page, in the address behind "#" (which works from disk as well): as pairs, so that
   it is told from the anchor of a heading. */
window.BookState = {
  read() {
    const given = location.hash.slice(1);
    return given.includes("=") ? Object.fromEntries(new URLSearchParams(given)) : {};
  },

  write(state) {
    const pairs = new URLSearchParams(Object.entries(state).filter(([, value]) => value !== "" && value !== false));
    history.replaceState(null, "", `#${pairs}`);
  },
};
