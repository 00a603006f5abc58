// The page around the player: theme, copying, and the player's time in the charts.
(function () {
  "use strict";
  var rootElement = document.documentElement;
  var button = document.getElementById("theme");
  function setTheme(name) {
    if (name) rootElement.setAttribute("data-theme", name); else rootElement.removeAttribute("data-theme");
    document.dispatchEvent(new CustomEvent("sportcore-theme"));
  }
  var asked = /(?:^|[#&])theme=(dark|light)/.exec(location.hash);
  if (asked) setTheme(asked[1]);
  if (button) button.addEventListener("click", function () {
    var dark = window.matchMedia && window.matchMedia("(prefers-color-scheme: dark)").matches;
    var now = rootElement.getAttribute("data-theme") || (dark ? "dark" : "light");
    setTheme(now === "dark" ? "light" : "dark");
  });

  // charts whose x axis is time: a line at the player's frame; a click moves the player there
  var charts = Array.prototype.map.call(document.querySelectorAll("svg.timed"), function (svg) {
    var box = svg.getAttribute("data-box").split(",").map(Number), mark = document.createElementNS(svg.namespaceURI, "line");
    var c = { svg: svg, box: box, lo: +svg.getAttribute("data-xmin"), hi: +svg.getAttribute("data-xmax"), per: +svg.getAttribute("data-per-frame"), mark: mark };
    mark.setAttribute("class", "cursor"); mark.setAttribute("y1", box[1]); mark.setAttribute("y2", box[3]); mark.style.display = "none";
    svg.appendChild(mark);
    function seek(e) {
      var r = svg.getBoundingClientRect(), x = (e.clientX - r.left) / r.width * svg.viewBox.baseVal.width;
      var value = c.lo + (x - box[0]) / (box[2] - box[0]) * (c.hi - c.lo);
      document.dispatchEvent(new CustomEvent("sportcore-seek", { detail: Math.max(0, Math.round(value / c.per)) }));
    }
    svg.addEventListener("click", seek);
    svg.addEventListener("pointermove", function (e) { if (e.buttons === 1 && e.pointerType === "mouse") seek(e); });
    return c;
  });
  function show(frame) {
    charts.forEach(function (c) {
      var x = c.box[0] + (frame * c.per - c.lo) / (c.hi - c.lo) * (c.box[2] - c.box[0]);
      var inside = x >= c.box[0] - 0.5 && x <= c.box[2] + 0.5;
      c.mark.style.display = inside ? "" : "none";
      if (inside) { c.mark.setAttribute("x1", x.toFixed(1)); c.mark.setAttribute("x2", x.toFixed(1)); }
    });
  }
  document.addEventListener("sportcore-frame", function (e) { show(e.detail); });

  var copy = document.getElementById("copy-json"), text = document.getElementById("json-text");
  var numbers = document.getElementById("json");
  if (numbers && text) numbers.addEventListener("toggle", function () {
    if (numbers.open && !text.textContent) text.textContent = JSON.stringify(JSON.parse(document.getElementById("sportcore-data").textContent), null, 1);
  });
  if (copy && text) copy.addEventListener("click", function () {
    var value = document.getElementById("sportcore-data").textContent;
    function done(ok) { copy.textContent = ok ? "Copied" : "Select the text below and copy it"; }
    function byHand() {
      var range = document.createRange(); range.selectNodeContents(text);
      var selection = window.getSelection(); selection.removeAllRanges(); selection.addRange(range);
      var ok = false; try { ok = document.execCommand("copy"); } catch (error) { ok = false; }
      done(ok);
    }
    if (navigator.clipboard && window.isSecureContext) navigator.clipboard.writeText(value).then(function () { done(true); }, byHand);
    else byHand();
  });
  window.addEventListener("beforeprint", function () {
    Array.prototype.forEach.call(document.querySelectorAll("details.print"), function (d) { d.open = true; });
  });
})();
