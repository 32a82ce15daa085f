/* Marks a page that this machine serves (`make serve`), where JupyterLab of this machine can be opened. */
if (["localhost", "127.0.0.1"].includes(location.hostname)) document.documentElement.classList.add("served-here");
