(function () {
  "use strict";
  var root = document.documentElement;
  function kept() { try { return localStorage.getItem("prefprior-theme"); } catch (error) { return null; } }
  if (kept()) { root.dataset.theme = kept(); }
  window.addEventListener("DOMContentLoaded", function () {
    var button = document.getElementById("theme");
    button.addEventListener("click", function () {
      var dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      try { localStorage.setItem("prefprior-theme", root.dataset.theme); } catch (error) { /* a page from a file may keep nothing */ }
    });
  });
})();
