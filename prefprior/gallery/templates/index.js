(function () {
  "use strict";
  var PER_PAGE = 48;
  var columns = window.PEOPLE.columns, count = window.PEOPLE.count, folder = document.body.dataset.people;
  var find = document.getElementById("find"), sort = document.getElementById("sort"), grid = document.getElementById("grid");
  var where = document.getElementById("where"), back = document.getElementById("back"), forth = document.getElementById("forth");
  var labels = { name: "Name", alike: "Similar users together", utility: "True utility", utility_decoded: "Utility of decoded pictures", better_than: "Rank among real pictures", concentration: "How sure the prior is", diversity: "Diversity" };
  var shown = ["utility", "better_than", "diversity"].filter(function (key) { return columns[key]; });
  var page = 0, order = [];
  var lower = columns.name.map(function (name, i) { return (name + " " + (columns.taste ? columns.taste[i] : "")).toLowerCase(); });

  Object.keys(labels).forEach(function (key) {
    if (!columns[key]) { return; }
    var option = document.createElement("option");
    option.value = key;
    option.textContent = labels[key];
    sort.appendChild(option);
  });

  function say(key, value) {
    if (value === null || value === undefined) { return ""; }
    return key === "better_than" ? "above " + Math.round(100 * value) + " %" : key.replace("_", " ") + " " + value.toFixed(2);
  }
  function arrange() {
    var words = find.value.trim().toLowerCase(), key = sort.value, values = columns[key];
    order = [];
    for (var i = 0; i < count; i++) { if (!words || lower[i].indexOf(words) >= 0) { order.push(i); } }
    if (key === "name") { order.sort(function (a, b) { return values[a].localeCompare(values[b], undefined, { numeric: true }); }); }
    else if (key === "alike") { order.sort(function (a, b) { return values[a] - values[b]; }); }
    else { order.sort(function (a, b) { return values[b] - values[a]; }); }
  }
  function card(i) {
    var link = document.createElement("a"), image = document.createElement("img"), name = document.createElement("div");
    var text = document.createElement("span"), score = document.createElement("span"), below = document.createElement("div");
    link.href = folder + "/" + encodeURIComponent(columns.slug[i]) + "/index.html";
    image.loading = "lazy"; image.decoding = "async"; image.width = 384; image.height = 96;
    image.alt = "Pictures generated for " + columns.name[i];
    image.src = folder + "/" + encodeURIComponent(columns.slug[i]) + "/strip.webp";
    name.className = "name"; score.className = "score"; below.className = "say";
    text.textContent = columns.name[i];
    var key = columns[sort.value] && shown.indexOf(sort.value) >= 0 ? sort.value : shown[0];
    score.textContent = say(key, columns[key][i]);
    below.textContent = (columns.taste && columns.taste[i]) || shown.filter(function (k) { return k !== key; }).map(function (k) { return say(k, columns[k][i]); }).join(" · ");
    name.append(text, score);
    link.append(image, name, below);
    return link;
  }
  function render() {
    var pages = Math.max(1, Math.ceil(order.length / PER_PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    var cards = order.slice(page * PER_PAGE, (page + 1) * PER_PAGE).map(card);
    grid.replaceChildren.apply(grid, cards);
    document.getElementById("none").hidden = order.length > 0;
    where.textContent = "page " + (page + 1) + " of " + pages + " · " + order.length.toLocaleString("en") + (order.length === 1 ? " user" : " users");
    back.disabled = page === 0; forth.disabled = page === pages - 1;
    try { history.replaceState(null, "", "#" + new URLSearchParams({ page: page + 1, sort: sort.value, find: find.value })); } catch (error) { /* some viewers allow no history */ }
  }
  function turn(step) { page += step; render(); scrollTo(0, 0); }

  var given = new URLSearchParams(location.hash.slice(1));
  if (columns[given.get("sort")]) { sort.value = given.get("sort"); }
  find.value = given.get("find") || "";
  page = (parseInt(given.get("page"), 10) || 1) - 1;
  find.addEventListener("input", function () { page = 0; arrange(); render(); });
  sort.addEventListener("change", function () { page = 0; arrange(); render(); });
  back.addEventListener("click", function () { turn(-1); });
  forth.addEventListener("click", function () { turn(1); });
  document.addEventListener("keydown", function (event) {
    if (event.altKey || event.ctrlKey || event.metaKey) { return; }
    if (event.key === "Escape" && document.activeElement === find) { find.blur(); }
    if (/^(INPUT|SELECT)$/.test(document.activeElement.tagName)) { return; }
    if (event.key === "/") { find.focus(); event.preventDefault(); }
    if (event.key === "ArrowRight" && !forth.disabled) { turn(1); }
    if (event.key === "ArrowLeft" && !back.disabled) { turn(-1); }
  });
  arrange();
  render();
})();
