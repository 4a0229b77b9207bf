// What Data Docs' pages do when clicked: tabs, folding, and showing failures only.
document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-toggle=tab], [data-toggle=collapse]");
  if (!link) return;
  event.preventDefault();
  const target = document.getElementById(link.getAttribute("href").slice(1));
  if (!target) return;
  if (link.dataset.toggle === "collapse") {
    target.classList.toggle("show");
    link.setAttribute("aria-expanded", target.classList.contains("show"));
    return;
  }
  for (const other of document.querySelectorAll("[data-toggle=tab]")) {
    const pane = document.getElementById(other.getAttribute("href").slice(1));
    other.classList.toggle("active", other === link);
    pane.classList.toggle("show", other === link);
    pane.classList.toggle("active", other === link);
  }
});

function setSucceeded(display) {
  for (const row of document.querySelectorAll("tbody tr")) {
    if (row.querySelector(":scope > td .fa-check-circle")) row.style.display = display;
  }
}
function showAllValidations() { setSucceeded(""); }
function hideSucceededValidations() { setSucceeded("none"); }
