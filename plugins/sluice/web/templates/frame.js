// A report is sandboxed into an origin of its own, so a link in it has no login. It asks for the file instead, and
// this page follows its own link to that file, if it has one.
const report = document.querySelector("iframe")
addEventListener("message", ({ source, data }) => {
  if (source !== report.contentWindow) return
  for (const link of document.querySelectorAll("a[data-file]")) if (link.dataset.file === data) link.click()
})
