// In the frame of Airflow's UI a page follows its theme, and a link to a page of the UI opens there: Airflow's sandbox lets
// no link leave the frame.
if (parent !== window) {
  const around = parent.document.documentElement
  const follow = () => {
    document.documentElement.style.colorScheme = around.classList.contains("dark") ? "dark" : "light"
  }
  follow()
  new MutationObserver(follow).observe(around, { attributeFilter: ["class"] })
  addEventListener("click", (event) => {
    const link = event.target.closest("a[data-ui]")
    if (!link) return
    event.preventDefault()
    parent.history.pushState(null, "", link.href)
    parent.dispatchEvent(new PopStateEvent("popstate"))
  })
}
