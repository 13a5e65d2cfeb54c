(function () {
  "use strict";
  var dialog = document.getElementById("large"), image = dialog.querySelector("img"), words = document.getElementById("words");
  var opens = Array.prototype.slice.call(document.querySelectorAll(".open")), at = 0;
  function show(index) {
    at = (index + opens.length) % opens.length;
    image.src = opens[at].dataset.full;
    image.alt = opens[at].querySelector("img").alt;
    words.textContent = opens[at].dataset.words;
    if (!dialog.open) { dialog.showModal(); }
  }
  opens.forEach(function (button, index) { button.addEventListener("click", function () { show(index); }); });
  document.getElementById("close").addEventListener("click", function () { dialog.close(); });
  document.getElementById("back").addEventListener("click", function () { show(at - 1); });
  document.getElementById("forth").addEventListener("click", function () { show(at + 1); });
  dialog.addEventListener("click", function (event) { if (event.target === dialog) { dialog.close(); } });
  dialog.addEventListener("close", function () { if (opens[at]) { opens[at].focus(); } });
  document.addEventListener("keydown", function (event) {
    if (event.altKey || event.ctrlKey || event.metaKey) { return; }
    var step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!step) { return; }
    if (dialog.open) { show(at + step); event.preventDefault(); return; }
    var link = document.querySelector(step > 0 ? "a[rel=next]" : "a[rel=prev]");
    if (link) { location.href = link.href; }
  });
})();
