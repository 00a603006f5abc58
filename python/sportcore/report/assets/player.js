// The report's 3D player: orbit, pan, zoom, play; no library. World: metres, right-handed, Z up.
// Cameras are OpenCV cameras: x right, y down, z forward, x_cam = R (x_world - center).
(function () {
  "use strict";
  var holder = document.getElementById("player-data");
  var canvas = document.getElementById("player");
  if (!holder || !canvas || !canvas.getContext) return;
  var D = JSON.parse(holder.textContent);
  var ctx = canvas.getContext("2d");
  var N = D.frames, J = D.joints.length, VOID = -32768, G = D.floor_m;

  function int16(text) {
    var raw = atob(text), view = new DataView(new ArrayBuffer(raw.length)), out = new Int16Array(raw.length / 2);
    for (var i = 0; i < raw.length; i++) view.setUint8(i, raw.charCodeAt(i));
    for (i = 0; i < out.length; i++) out[i] = view.getInt16(2 * i, true);
    return out;
  }
  function uint8(text) {
    var raw = atob(text), out = new Uint8Array(raw.length);
    for (var i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
    return out;
  }
  var xyz = int16(D.xyz), status = uint8(D.status), views = D.views ? uint8(D.views) : null;
  var root = D.root ? int16(D.root) : null, chol = D.chol ? int16(D.chol) : null;
  var held = D.heldout ? uint8(D.heldout) : null;
  var rays = D.rays ? D.rays.map(int16) : null;
  var mono = { before: null, after: null };
  if (D.mono) Object.keys(D.mono).forEach(function (k) { mono[k] = D.mono[k].map(int16); });

  function at(buffer, index) {
    var i = 3 * index;
    if (buffer[i] === VOID || buffer[i + 1] === VOID || buffer[i + 2] === VOID) return null;
    return [buffer[i] * D.step_m + D.offset_m[0], buffer[i + 1] * D.step_m + D.offset_m[1],
            buffer[i + 2] * D.step_m + D.offset_m[2]];
  }
  function middleOf(frame) {
    var p = root ? at(root, frame) : null;
    if (p) return p;
    var s = [0, 0, 0], n = 0;
    for (var j = 0; j < J; j++) {
      p = at(xyz, frame * J + j);
      if (p) { s[0] += p[0]; s[1] += p[1]; s[2] += p[2]; n++; }
    }
    return n ? [s[0] / n, s[1] / n, s[2] / n] : null;
  }

  // ---- state
  var S = {
    frame: 0, playing: false, speed: 1, loop: true, follow: false, multi: true, before: false, after: false,
    monoCamera: 0, sigma: chol ? "size" : "off", cameras: true, trail: true, names: false, look: -1
  };
  var centre = [(D.low_m[0] + D.high_m[0]) / 2, (D.low_m[1] + D.high_m[1]) / 2, (D.low_m[2] + D.high_m[2]) / 2];
  var extent = Math.max(2, Math.hypot(D.high_m[0] - D.low_m[0], D.high_m[1] - D.low_m[1], D.high_m[2] - D.low_m[2]));
  var FOV = 35 * Math.PI / 180;
  var view = null;
  function home() {
    view = { yaw: -0.9, pitch: 0.32, distance: Math.max(3.4, Math.min(extent, 6) * 1.45), target: centre.slice() };
    S.follow = extent > 6;
    S.look = -1; sync();
  }
  var width = 0, height = 0, ratio = 1, colours = {}, dirty = true, clock = 0, hover = null;

  function readColours() {
    var style = getComputedStyle(document.documentElement);
    ["bg", "panel", "fg", "muted", "line", "left", "right", "mid", "before", "after", "accent", "bad"].forEach(function (k) {
      colours[k] = style.getPropertyValue("--" + k).trim() || "#888";
    });
  }

  // ---- camera of the viewer
  var eye, axes, focal, cx, cy, near = 0.05;
  function setUpView() {
    if (S.look >= 0) {
      var c = D.cameras[S.look], scale = Math.min(width / c.size[0], height / c.size[1]), R = c.R;
      eye = c.center; focal = [c.k[0] * scale, c.k[1] * scale];
      axes = [[R[0], R[1], R[2]], [R[3], R[4], R[5]], [R[6], R[7], R[8]]];
      cx = width / 2 + (c.k[2] - (c.size[0] - 1) / 2) * scale; cy = height / 2 + (c.k[3] - (c.size[1] - 1) / 2) * scale;
      return;
    }
    var cp = Math.cos(view.pitch), sp = Math.sin(view.pitch), cw = Math.cos(view.yaw), sw = Math.sin(view.yaw);
    var forward = [-cp * cw, -cp * sw, -sp], right = [-sw, cw, 0], down = [-sp * cw, -sp * sw, cp].map(function (v) { return -v; });
    axes = [right, down, forward];
    eye = [0, 1, 2].map(function (i) { return view.target[i] - forward[i] * view.distance; });
    var f = Math.min(height, width * 0.9) / 2 / Math.tan(FOV / 2);
    focal = [f, f]; cx = width / 2; cy = height / 2;
  }
  function toCamera(p) {
    var d = [p[0] - eye[0], p[1] - eye[1], p[2] - eye[2]];
    return axes.map(function (a) { return a[0] * d[0] + a[1] * d[1] + a[2] * d[2]; });
  }
  function screen(q) { return [cx + focal[0] * q[0] / q[2], cy + focal[1] * q[1] / q[2]]; }
  function project(p) {
    var q = toCamera(p);
    if (q[2] < near) return null;
    var s = screen(q);
    return { x: s[0], y: s[1], z: q[2], q: q };
  }
  function line3(a, b) { // clipped at the near plane
    var p = toCamera(a), q = toCamera(b);
    if (p[2] < near && q[2] < near) return;
    if (p[2] < near || q[2] < near) {
      var s = (near - p[2]) / (q[2] - p[2]), m = [0, 1, 2].map(function (i) { return p[i] + s * (q[i] - p[i]); });
      if (p[2] < near) p = m; else q = m;
    }
    var u = screen(p), v = screen(q);
    ctx.moveTo(u[0], u[1]); ctx.lineTo(v[0], v[1]);
  }
  function stroke(colour, w, alpha, dash) {
    ctx.strokeStyle = colour; ctx.lineWidth = w; ctx.globalAlpha = alpha === undefined ? 1 : alpha;
    ctx.setLineDash(dash || []); ctx.stroke(); ctx.globalAlpha = 1; ctx.setLineDash([]);
  }

  // ---- things in the world
  var reach = [0, 1].map(function (k) {
    var lo = D.low_m[k] - 1, hi = D.high_m[k] + 1;
    D.cameras.forEach(function (c) {
      if (Math.hypot(c.center[0] - centre[0], c.center[1] - centre[1]) < 40) { lo = Math.min(lo, c.center[k]); hi = Math.max(hi, c.center[k]); }
    });
    return [Math.floor(lo), Math.ceil(hi)];
  });
  function drawFloor() {
    var cell = Math.max(reach[0][1] - reach[0][0], reach[1][1] - reach[1][0]) > 60 ? 5 : 1, v;
    ctx.beginPath();
    for (v = reach[0][0]; v <= reach[0][1]; v += cell) line3([v, reach[1][0], G], [v, reach[1][1], G]);
    for (v = reach[1][0]; v <= reach[1][1]; v += cell) line3([reach[0][0], v, G], [reach[0][1], v, G]);
    stroke(colours.line, 1, 0.8);
    [["#d1495b", [0.5, 0, 0], "X"], ["#2a9d5c", [0, 0.5, 0], "Y"], ["#3a6fd8", [0, 0, 0.5], "Z"]].forEach(function (a) {
      ctx.beginPath(); line3([0, 0, 0], a[1]); stroke(a[0], 2);
      var p = project(a[1]);
      if (p) { ctx.fillStyle = a[0]; ctx.fillText(a[2], p.x + 3, p.y - 3); }
    });
    return cell;
  }
  function drawTrail() {
    if (!S.trail) return;
    ctx.beginPath();
    var every = Math.max(1, Math.floor(N / 900)), last = null;
    for (var f = 0; f < N; f += every) {
      var p = root ? at(root, f) : null;
      if (p && last) line3([last[0], last[1], G], [p[0], p[1], G]);
      last = p;
    }
    stroke(colours.accent, N > 900 ? 1 : 1.6, N > 900 ? 0.3 : 0.65);
  }
  function drawCameras() {
    if (!S.cameras) return;
    D.cameras.forEach(function (c, index) {
      if (index === S.look) return;
      var depth = 0.45, R = c.R, corners = [[0, 0], [c.size[0], 0], [c.size[0], c.size[1]], [0, c.size[1]]].map(function (uv) {
        var x = (uv[0] - c.k[2]) / c.k[0] * depth, y = (uv[1] - c.k[3]) / c.k[1] * depth;
        return [0, 1, 2].map(function (i) { return c.center[i] + R[i] * x + R[3 + i] * y + R[6 + i] * depth; });
      });
      ctx.beginPath();
      corners.forEach(function (p, i) { line3(c.center, p); line3(p, corners[(i + 1) % 4]); });
      stroke(colours.fg, 1.2, 0.75);
      ctx.beginPath(); line3(c.center, [c.center[0], c.center[1], G]); stroke(colours.muted, 1, 0.5, [3, 4]);
      var p = project(c.center);
      if (p) { ctx.fillStyle = colours.fg; ctx.fillText(c.name, p.x + 6, p.y - 6); }
    });
  }
  function drawShadow(frame) {
    ctx.beginPath();
    D.bones.forEach(function (b) {
      var p = at(xyz, frame * J + b[0]), q = at(xyz, frame * J + b[1]);
      if (p && q) line3([p[0], p[1], G], [q[0], q[1], G]);
    });
    stroke(colours.fg, 3, 0.13);
  }
  function sideColour(j) { return [colours.mid, colours.left, colours.right][D.side[j]]; }
  function ellipse(p, j, frame, k) { // k-sigma outline of the projected covariance
    var o = (frame * J + j) * 6, u = D.sigma_step_m;
    if (!chol || chol[o] === VOID) return null;
    var L = [[chol[o] * u, 0, 0], [chol[o + 1] * u, chol[o + 2] * u, 0], [chol[o + 3] * u, chol[o + 4] * u, chol[o + 5] * u]];
    var q = p.q, rows = [[focal[0] / q[2], 0, -focal[0] * q[0] / q[2] / q[2]], [0, focal[1] / q[2], -focal[1] * q[1] / q[2] / q[2]]];
    var M = rows.map(function (r) { // r * axes * L
      var w = [0, 1, 2].map(function (i) { return r[0] * axes[0][i] + r[1] * axes[1][i] + r[2] * axes[2][i]; });
      return [0, 1, 2].map(function (c) { return w[0] * L[0][c] + w[1] * L[1][c] + w[2] * L[2][c]; });
    });
    var a = 0, b = 0, d = 0;
    for (var i = 0; i < 3; i++) { a += M[0][i] * M[0][i]; b += M[0][i] * M[1][i]; d += M[1][i] * M[1][i]; }
    var mean = (a + d) / 2, dev = Math.hypot((a - d) / 2, b);
    return { a: k * Math.sqrt(mean + dev), b: k * Math.sqrt(Math.max(0, mean - dev)), turn: 0.5 * Math.atan2(2 * b, a - d) };
  }
  function drawBody(buffer, frame, style) {
    var P = [], j, items = [];
    for (j = 0; j < J; j++) { var w = at(buffer, frame * J + j); P.push(w ? project(w) : null); }
    D.bones.forEach(function (b) {
      var p = P[b[0]], q = P[b[1]];
      if (p && q) items.push({ z: (p.z + q.z) / 2 + 0.01, p: p, q: q, j: D.side[b[1]] ? b[1] : b[0], bone: true });
    });
    P.forEach(function (p, k) { if (p) items.push({ z: p.z, p: p, j: k }); });
    items.sort(function (m, n) { return n.z - m.z; });
    items.forEach(function (it) {
      var colour = style.colour || sideColour(it.j), size = Math.max(0.35, Math.min(3, focal[0] / it.z / 170));
      if (it.bone) {
        ctx.beginPath(); ctx.moveTo(it.p.x, it.p.y); ctx.lineTo(it.q.x, it.q.y); ctx.lineCap = "round";
        stroke(colour, style.width * size, style.alpha, style.dash); return;
      }
      var radius = 3.1 * size, e = style.main && S.sigma !== "off" ? ellipse(it.p, it.j, frame, 2) : null;
      if (e && S.sigma === "size") radius = Math.max(1.5, Math.min(60, Math.sqrt(e.a * Math.max(e.b, 0.1))));
      if (e && S.sigma === "ellipse") {
        ctx.beginPath(); ctx.ellipse(it.p.x, it.p.y, Math.max(e.a, 0.5), Math.max(e.b, 0.5), e.turn, 0, 2 * Math.PI);
        ctx.fillStyle = colour; ctx.globalAlpha = 0.28; ctx.fill(); ctx.globalAlpha = 1; stroke(colour, 1, 0.9); radius = 1.6 * size;
      }
      ctx.beginPath(); ctx.arc(it.p.x, it.p.y, style.main ? radius : 2.2 * size, 0, 2 * Math.PI);
      ctx.fillStyle = colour; ctx.globalAlpha = style.main && S.sigma === "size" ? 0.75 : style.alpha; ctx.fill(); ctx.globalAlpha = 1;
      if (style.main && S.names) { ctx.fillStyle = colours.fg; ctx.fillText(D.joints[it.j].replace(/_/g, " "), it.p.x + 7, it.p.y + 3); }
    });
    return P;
  }
  function drawDetections(frame) {
    var buffer = rays[S.look];
    ctx.beginPath();
    for (var j = 0; j < J; j++) {
      var i = (frame * J + j) * 2;
      if (buffer[i] === VOID) continue;
      var x = cx + focal[0] * buffer[i] * D.ray_step, y = cy + focal[1] * buffer[i + 1] * D.ray_step;
      ctx.moveTo(x - 5, y - 5); ctx.lineTo(x + 5, y + 5); ctx.moveTo(x - 5, y + 5); ctx.lineTo(x + 5, y - 5);
    }
    stroke(colours.bad, 1.6);
  }

  var points = [];
  function frameIndex() { return Math.min(N - 1, Math.max(0, Math.round(S.frame))); }
  function draw() {
    dirty = false;
    var f = frameIndex();
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.clearRect(0, 0, width, height);
    ctx.font = "12px system-ui, sans-serif"; ctx.textBaseline = "alphabetic"; ctx.textAlign = "left";
    if (S.follow && S.look < 0) {
      var m = middleOf(f);
      if (m) view.target = [m[0], m[1], view.target[2]];
    }
    setUpView();
    if (S.look >= 0) {
      var c = D.cameras[S.look], scale = Math.min(width / c.size[0], height / c.size[1]);
      ctx.strokeStyle = colours.line; ctx.strokeRect((width - c.size[0] * scale) / 2, (height - c.size[1] * scale) / 2, c.size[0] * scale, c.size[1] * scale);
    }
    var cell = drawFloor();
    drawTrail(); drawCameras();
    if (S.multi) drawShadow(f);
    if (S.before && mono.before) drawBody(mono.before[S.monoCamera], f, { colour: colours.before, width: 3, alpha: 0.9, dash: [6, 5] });
    if (S.after && mono.after) drawBody(mono.after[S.monoCamera], f, { colour: colours.after, width: 3, alpha: 0.9 });
    points = S.multi ? drawBody(xyz, f, { width: 4.5, alpha: 1, main: true }) : [];
    if (S.look >= 0 && rays) drawDetections(f);
    overlay(f, cell);
  }
  function overlay(f, cell) {
    var lines = [], missing = [], j;
    for (j = 0; j < J; j++) if (status[f * J + j]) missing.push(D.joints[j].replace(/_/g, " ") + " (" + (D.status_text[status[f * J + j]] || "missing") + ")");
    lines.push("frame " + f * D.stride + (D.fps ? "   " + (f * D.stride / D.fps).toFixed(2) + " s" : "") + (held && held[f] ? "   held out" : ""));
    if (missing.length === J) lines.push("no joint in 3D here: " + D.status_text[status[f * J]]);
    else if (missing.length) { lines.push("missing: " + missing.slice(0, 3).join(", ") + (missing.length > 3 ? " and " + (missing.length - 3) + " more" : "")); }
    if (S.look >= 0) lines.push("through " + D.cameras[S.look].name + (rays ? "   × detected" : ""));
    ctx.fillStyle = colours.fg;
    lines.forEach(function (t, i) { ctx.globalAlpha = i ? 0.8 : 1; ctx.fillText(t, 12, 22 + 17 * i); });
    ctx.globalAlpha = 0.7; ctx.textAlign = "right";
    ctx.fillText((D.floor_known ? "floor grid " : "no floor measured, grid ") + cell + " m" + (S.sigma === "off" ? "" : S.sigma === "size" ? "   dot = 2 σ" : "   ellipse = 2 σ"), width - 12, height - 12);
    ctx.textAlign = "left"; ctx.globalAlpha = 1;
    if (hover !== null && points[hover]) {
      var p = points[hover], w = at(xyz, f * J + hover), text = [D.joints[hover].replace(/_/g, " ")];
      text.push(w.map(function (v) { return v.toFixed(3); }).join("  ") + " m");
      var o = (f * J + hover) * 6;
      if (chol && chol[o] !== VOID) {
        var s = 0; for (j = 0; j < 6; j++) s += chol[o + j] * chol[o + j];
        text.push("σ " + (Math.sqrt(s / 3) * D.sigma_step_m * 1000).toFixed(0) + " mm per axis");
      }
      if (views) text.push(views[f * J + hover] + " cameras");
      var wide = Math.max.apply(null, text.map(function (t) { return ctx.measureText(t).width; })) + 16;
      var x = Math.min(p.x + 12, width - wide - 4), y = Math.max(4, Math.min(p.y - 10, height - 17 * text.length - 12));
      ctx.globalAlpha = 0.94; ctx.fillStyle = colours.panel; ctx.fillRect(x, y, wide, 17 * text.length + 8);
      ctx.globalAlpha = 1; ctx.strokeStyle = colours.line; ctx.lineWidth = 1; ctx.strokeRect(x, y, wide, 17 * text.length + 8);
      ctx.fillStyle = colours.fg; text.forEach(function (t, i) { ctx.fillText(t, x + 8, y + 17 * (i + 1)); });
    }
  }

  // ---- time
  var slider = document.getElementById("p-frame"), label = document.getElementById("p-time"), button = document.getElementById("p-play");
  function tick(now) {
    if (S.playing) {
      var dt = Math.min(0.1, (now - clock) / 1000);
      S.frame += dt * S.speed * (D.fps || 30) / D.stride;
      if (S.frame > N - 1) { if (S.loop && N > 1) S.frame = S.frame % N; else { S.frame = N - 1; S.playing = false; } }
      changed();
    }
    clock = now;
    if (dirty) draw();
    requestAnimationFrame(tick);
  }
  function changed() {
    dirty = true;
    slider.value = frameIndex();
    var f = frameIndex() * D.stride;
    label.textContent = D.fps ? (f / D.fps).toFixed(2) + " s · " + f : "frame " + f;
    document.dispatchEvent(new CustomEvent("sportcore-frame", { detail: f }));
  }
  function seek(f) { S.frame = Math.min(N - 1, Math.max(0, f)); changed(); }
  document.addEventListener("sportcore-seek", function (e) { S.playing = false; seek(Math.round(e.detail / D.stride)); sync(); });

  // ---- controls
  function el(id) { return document.getElementById(id); }
  function sync() {
    button.textContent = S.playing ? "❚❚" : "▶"; button.setAttribute("aria-label", S.playing ? "Pause" : "Play");
    ["follow", "multi", "before", "after", "cameras", "trail", "names", "loop"].forEach(function (k) {
      var box = el("p-" + k); if (box) box.checked = S[k];
    });
    [["speed", S.speed], ["sigma", S.sigma], ["mono", S.monoCamera], ["look", S.look]].forEach(function (kv) {
      var box = el("p-" + kv[0]); if (box) box.value = String(kv[1]);
    });
    dirty = true;
  }
  function toggle(k) { if (el("p-" + k)) { S[k] = !S[k]; sync(); } }
  function play() { if (!S.playing && S.frame >= N - 1) S.frame = 0; S.playing = !S.playing; sync(); }
  function preset(name) {
    S.look = -1;
    if (name === "top") { view.pitch = Math.PI / 2 - 0.001; view.yaw = -Math.PI / 2; }
    if (name === "front") { view.pitch = 0.02; view.yaw = -Math.PI / 2; }
    if (name === "side") { view.pitch = 0.02; view.yaw = 0; }
    if (name === "home") home();
    sync();
  }
  button.addEventListener("click", play);
  slider.max = N - 1;
  slider.addEventListener("input", function () { S.playing = false; seek(+slider.value); sync(); });
  ["follow", "multi", "before", "after", "cameras", "trail", "names", "loop"].forEach(function (k) {
    var box = el("p-" + k); if (box) box.addEventListener("change", function () { S[k] = box.checked; dirty = true; });
  });
  function choose(id, apply) { var box = el(id); if (box) box.addEventListener("change", function () { apply(box.value); sync(); }); }
  choose("p-speed", function (v) { S.speed = +v; });
  choose("p-sigma", function (v) { S.sigma = v; });
  choose("p-mono", function (v) { S.monoCamera = +v; });
  choose("p-look", function (v) { S.look = +v; });
  Array.prototype.forEach.call(document.querySelectorAll("[data-view]"), function (b) {
    b.addEventListener("click", function () { preset(b.getAttribute("data-view")); });
  });
  el("p-step-back").addEventListener("click", function () { S.playing = false; seek(frameIndex() - 1); sync(); });
  el("p-step").addEventListener("click", function () { S.playing = false; seek(frameIndex() + 1); sync(); });
  canvas.addEventListener("keydown", function (e) {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    var used = true, big = e.shiftKey ? 10 : 1;
    switch (e.key) {
      case " ": play(); break;
      case "ArrowRight": S.playing = false; seek(frameIndex() + big); sync(); break;
      case "ArrowLeft": S.playing = false; seek(frameIndex() - big); sync(); break;
      case "ArrowUp": view.pitch = Math.min(1.57, view.pitch + 0.06); dirty = true; break;
      case "ArrowDown": view.pitch = Math.max(-1.57, view.pitch - 0.06); dirty = true; break;
      case "a": view.yaw -= 0.08; dirty = true; break;
      case "d": view.yaw += 0.08; dirty = true; break;
      case "+": case "=": view.distance *= 0.9; dirty = true; break;
      case "-": view.distance /= 0.9; dirty = true; break;
      case "Home": seek(0); break;
      case "End": seek(N - 1); break;
      case "f": toggle("follow"); break;
      case "m": toggle("multi"); break;
      case "b": toggle("before"); break;
      case "n": toggle("after"); break;
      case "l": toggle("names"); break;
      case "t": preset("top"); break;
      case "r": preset("home"); break;
      default:
        if (e.key >= "1" && e.key <= "9" && D.cameras[+e.key - 1]) { S.look = +e.key - 1; sync(); }
        else if (e.key === "0" || e.key === "Escape") { S.look = -1; sync(); }
        else used = false;
    }
    if (used) e.preventDefault();
  });

  // ---- mouse and touch: one pointer turns, two pan and zoom
  var pointers = {}, pinch = null;
  function ids() { return Object.keys(pointers); }
  function pan(dx, dy) {
    var k = view.distance / focal[0];
    for (var i = 0; i < 3; i++) view.target[i] -= (axes[0][i] * dx + axes[1][i] * dy) * k;
    S.follow = false; sync();
  }
  function leaveLook() { // start turning from about where the camera looked
    var c = D.cameras[S.look], m = middleOf(frameIndex()) || centre, d = [0, 1, 2].map(function (i) { return c.center[i] - m[i]; });
    view.distance = Math.hypot(d[0], d[1], d[2]); view.target = m.slice();
    view.yaw = Math.atan2(d[1], d[0]); view.pitch = Math.asin(d[2] / view.distance);
    S.look = -1; setUpView(); sync();
  }
  canvas.addEventListener("pointerdown", function (e) {
    canvas.focus({ preventScroll: true }); canvas.setPointerCapture(e.pointerId);
    pointers[e.pointerId] = { x: e.offsetX, y: e.offsetY, pan: e.button === 2 || e.button === 1 || e.shiftKey }; pinch = null;
  });
  canvas.addEventListener("pointermove", function (e) {
    var p = pointers[e.pointerId];
    if (!p) {
      var best = null, near2 = 15 * 15;
      points.forEach(function (q, j) {
        if (!q) return;
        var r = (q.x - e.offsetX) * (q.x - e.offsetX) + (q.y - e.offsetY) * (q.y - e.offsetY);
        if (r < near2) { near2 = r; best = j; }
      });
      if (best !== hover) { hover = best; dirty = true; }
      return;
    }
    var dx = e.offsetX - p.x, dy = e.offsetY - p.y;
    if (dx === 0 && dy === 0) return;
    if (S.look >= 0) { if (Math.hypot(dx, dy) < 4) return; leaveLook(); }
    p.x = e.offsetX; p.y = e.offsetY;
    var all = ids();
    if (all.length === 2) {
      var a = pointers[all[0]], b = pointers[all[1]], size = Math.hypot(a.x - b.x, a.y - b.y), mx = (a.x + b.x) / 2, my = (a.y + b.y) / 2;
      if (pinch) { view.distance *= pinch.size / Math.max(size, 1); pan(mx - pinch.x, my - pinch.y); }
      pinch = { size: size, x: mx, y: my };
    } else if (p.pan) pan(dx, dy);
    else { view.yaw -= dx * 0.008; view.pitch = Math.max(-1.57, Math.min(1.57, view.pitch + dy * 0.008)); }
    view.distance = Math.max(0.4, Math.min(300, view.distance));
    dirty = true;
  });
  function release(e) { delete pointers[e.pointerId]; pinch = null; }
  canvas.addEventListener("pointerup", function (e) {
    var p = pointers[e.pointerId]; release(e);
    if (p && e.pointerType === "touch") { hover = null; dirty = true; }
  });
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("contextmenu", function (e) { e.preventDefault(); });
  canvas.addEventListener("wheel", function (e) {
    if (document.activeElement !== canvas && !e.ctrlKey) return; // the page scrolls until the player is clicked
    e.preventDefault();
    if (S.look >= 0) leaveLook();
    view.distance = Math.max(0.4, Math.min(300, view.distance * Math.exp(Math.max(-80, Math.min(80, e.deltaY)) * 0.0025))); dirty = true;
  }, { passive: false });
  canvas.addEventListener("dblclick", function () { preset("home"); });

  // ---- strip under the slider: how many joints each moment has
  function strip() {
    var box = el("p-strip"); if (!box) return;
    var c = box.getContext("2d"), w = box.width = Math.max(1, Math.round(box.clientWidth * ratio)), h = box.height = Math.round(6 * ratio);
    for (var x = 0; x < w; x++) {
      var f = Math.min(N - 1, Math.floor(x / w * N)), have = 0;
      for (var j = 0; j < J; j++) if (!status[f * J + j]) have++;
      c.fillStyle = have === J ? colours.accent : have ? colours.right : colours.bad;
      c.globalAlpha = have === J ? 0.35 : 0.4 + 0.6 * (1 - have / J); c.fillRect(x, 0, 1, h);
    }
  }
  function resize() {
    ratio = window.devicePixelRatio || 1; width = canvas.clientWidth; height = canvas.clientHeight;
    canvas.width = Math.max(1, Math.round(width * ratio)); canvas.height = Math.max(1, Math.round(height * ratio));
    readColours(); strip(); dirty = true;
  }
  function fromHash() {
    location.hash.slice(1).split("&").forEach(function (part) {
      var kv = part.split("="), v = decodeURIComponent(kv[1] || "");
      if (kv[0] === "frame" && isFinite(+v)) { S.playing = false; seek(Math.round(+v / D.stride)); }
      if (kv[0] === "view") preset(v);
      if (kv[0] === "camera" && D.cameras[+v - 1]) S.look = +v - 1;
      if (kv[0] === "sigma" && chol) S.sigma = v;
      if (kv[0] === "before" && mono.before) S.before = v === "1";
      if (kv[0] === "after" && mono.after) S.after = v === "1";
      if (kv[0] === "play") S.playing = v === "1";
      if (kv[0] === "follow") S.follow = v === "1";
      if (kv[0] === "zoom" && +v > 0) view.distance /= +v;
    });
    sync();
  }
  window.addEventListener("resize", resize);
  window.addEventListener("hashchange", fromHash);
  var shown = null; // the page prints light, whatever the screen shows
  window.addEventListener("beforeprint", function () {
    shown = document.documentElement.getAttribute("data-theme");
    document.documentElement.setAttribute("data-theme", "light"); readColours(); draw();
  });
  window.addEventListener("afterprint", function () {
    if (shown) document.documentElement.setAttribute("data-theme", shown); else document.documentElement.removeAttribute("data-theme");
    readColours(); strip(); dirty = true;
  });
  document.addEventListener("sportcore-theme", function () { readColours(); strip(); dirty = true; });
  if (window.matchMedia) {
    var scheme = window.matchMedia("(prefers-color-scheme: dark)");
    if (scheme.addEventListener) scheme.addEventListener("change", function () { readColours(); strip(); dirty = true; });
  }
  home(); resize(); changed(); fromHash(); draw();
  canvas.setAttribute("data-ready", "1");
  requestAnimationFrame(tick);
})();
