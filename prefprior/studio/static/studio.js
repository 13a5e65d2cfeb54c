// Answers without loading the page again, keys, and the strip that follows. Everything but the strip works without it.
(function () {
  "use strict";
  var question = document.getElementById("question"), strip = document.getElementById("strip");
  var said = document.getElementById("said");
  if (!question) { gallery(); return; }
  var answering = false, making = false, again = false;

  function say(text) { said.textContent = text; }

  function send(url, body) {
    return fetch(url, { method: "POST", body: body, headers: { "X-Fragment": "1" }, credentials: "same-origin" });
  }

  function fields(form, button) {
    var body = new URLSearchParams(new FormData(form));
    if (button && button.name) { body.set(button.name, button.value); }
    return body;
  }

  // A gallery takes a while: the same wish asks for the same pictures, so it is sent again until they are there.
  function gallery() {
    var wish = document.getElementById("wish"), shown = document.getElementById("gallery");
    var waiting = document.getElementById("making");
    if (!wish) { return; }
    var bar = waiting.querySelector("progress"), timer = 0, wanted = 0;

    function watch() {
      fetch("/progress", { credentials: "same-origin" }).then(function (response) { return response.json(); }).then(function (found) {
        if (found) { bar.max = found.total; bar.value = found.done; }
      }).catch(function () { /* the next second */ });
    }

    function end(text) {
      clearInterval(timer);
      waiting.hidden = true;
      shown.removeAttribute("aria-busy");
      say(text);
    }

    function make(body, number) {
      send("/made", body).then(function (response) {
        if (number !== wanted) { return undefined; }
        if (response.status === 503 || response.status === 429) {
          setTimeout(function () { if (number === wanted) { make(body, number); } }, later(response));
          return undefined;
        }
        return response.text().then(function (html) {
          if (number !== wanted) { return; }
          if (response.ok) { shown.innerHTML = html; end("New pictures are there."); return; }
          var refused = new DOMParser().parseFromString(html, "text/html").querySelector("main p");
          end(refused ? refused.textContent : "This cannot be made.");
        });
      }).catch(function () { if (number === wanted) { end("The studio cannot be reached: try again."); } });
    }

    wish.addEventListener("submit", function (event) {
      event.preventDefault();
      wanted += 1;
      say("Pictures are being made.");
      bar.removeAttribute("value");
      waiting.hidden = false;
      shown.setAttribute("aria-busy", "true");
      clearInterval(timer);
      timer = setInterval(watch, 1000);
      make(fields(wish), wanted);
    });
    waiting.querySelector("form").addEventListener("submit", function (event) {
      event.preventDefault();
      wanted += 1;
      send("/cancel", fields(event.target)).then(function () { end("Cancelled."); });
    });
  }

  function later(response) { return (Number(response.headers.get("Retry-After")) || 2) * 1000; }

  // The same answer, or undo, sent twice counts once, so a request without a reply may be repeated.
  function answer(form, button, left) {
    var body = fields(form, button);
    answering = true;
    question.classList.add("busy");
    question.setAttribute("aria-busy", "true");
    send(form.action, body).then(function (response) {
      if (response.status === 205) { location.assign(response.headers.get("X-Page")); return undefined; }
      if ((response.status === 503 || response.status === 429) && left > 0) {
        say("Busy: trying again.");
        setTimeout(function () { answer(form, button, left - 1); }, later(response));
        return undefined;
      }
      if (!response.ok) { location.reload(); return undefined; }
      return response.text().then(function (html) {
        question.innerHTML = html;
        say("");
        done();
        document.getElementById("words").focus({ preventScroll: true });
        refresh();
      });
    }).catch(function () {
      done();
      say("The studio cannot be reached. Your answer may not have arrived: try again.");
    });
  }

  function done() {
    answering = false;
    question.classList.remove("busy");
    question.removeAttribute("aria-busy");
  }

  // One strip at a time: what was answered meanwhile is in the next.
  function refresh() {
    if (making) { again = true; return; }
    var csrf = question.querySelector("input[name=csrf]");
    if (!csrf) { return; }
    making = true;
    again = false;
    strip.setAttribute("aria-busy", "true");
    strip.dataset.fresh = "no";
    send("/strip", new URLSearchParams({ csrf: csrf.value })).then(function (response) {
      if (response.ok) {
        return response.text().then(function (html) {
          strip.innerHTML = html;
          if (!again) { strip.dataset.fresh = "yes"; }
        });
      }
      if (response.status === 503 || response.status === 429) { setTimeout(refresh, later(response)); }
      return undefined;
    }).catch(function () { /* the next answer tries again */ }).then(function () {
      making = false;
      strip.removeAttribute("aria-busy");
      if (again) { refresh(); }
    });
  }

  // One click at a time: the heart shows what was sent, not what it says when the reply comes.
  function like(form) {
    var button = form.querySelector("button"), liked = button.value === "yes";
    if (form.hasAttribute("aria-busy")) { return; }
    form.setAttribute("aria-busy", "true");
    send(form.action, fields(form, button)).then(function (response) {
      if (!response.ok) { say("This was not kept: try again."); return; }
      button.setAttribute("aria-pressed", String(liked));
      button.value = liked ? "no" : "yes";
      say("");
    }).catch(function () {
      say("The studio cannot be reached: try again.");
    }).then(function () { form.removeAttribute("aria-busy"); });
  }

  document.addEventListener("submit", function (event) {
    if (strip.contains(event.target)) { event.preventDefault(); like(event.target); return; }
    if (!question.contains(event.target)) { return; }
    event.preventDefault();
    if (!answering) { answer(event.target, event.submitter, 5); }
  });

  document.addEventListener("keydown", function (event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.repeat || answering) { return; }
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) { return; }
    if (!/^(\d|u|m|ArrowLeft|ArrowRight)$/.test(event.key)) { return; }
    var button = question.querySelector('button[data-key="' + event.key + '"]:not(:disabled)');
    if (button) { event.preventDefault(); button.click(); }
  });

  if (strip.dataset.fresh !== "yes") { refresh(); }
})();
