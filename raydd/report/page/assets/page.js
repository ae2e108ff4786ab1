// Draws the figures in the colours of the theme, follows the theme and the printer, and sorts tables.
(function () {
  "use strict";
  var THEMES = {
    light: {
      ink: "#1b1f24", muted: "#7b858e", faint: "#c9d0d6", paper: "#ffffff", grid: "#e9ecef", veil: "rgba(255,255,255,.75)",
      blue: "#0072b2", orange: "#d97700", green: "#009e73", red: "#c4401a", purple: "#a6518a", sky: "#56b4e9",
      bins: ["#482475", "#3b528b", "#287c8e", "#20a386", "#6ec45a", "#b5c917"]
    },
    dark: {
      ink: "#e6eaed", muted: "#8d98a2", faint: "#4b555e", paper: "#14181c", grid: "#272e34", veil: "rgba(20,24,28,.75)",
      blue: "#4fa8e0", orange: "#f0a02e", green: "#35c79a", red: "#f0794f", purple: "#d58abf", sky: "#8accf2",
      bins: ["#7a5bb0", "#5f7fc4", "#3ea0b0", "#35bf9a", "#8ad675", "#e8e337"]
    }
  };
  Object.keys(THEMES).forEach(function (name) {
    var theme = THEMES[name];
    theme.scale = theme.bins.map(function (colour, index) { return [index / (theme.bins.length - 1), colour]; });
    theme.bins.forEach(function (colour, index) { theme["bin" + index] = colour; });
  });
  var trials = JSON.parse(document.getElementById("trial-texts").textContent);
  var darkness = window.matchMedia("(prefers-color-scheme: dark)");
  var printing = false;

  function theme() { return THEMES[darkness.matches && !printing ? "dark" : "light"]; }

  function coloured(value, colours) {
    if (typeof value === "string") {
      return value.charAt(0) === "@" && value.slice(1) in colours ? colours[value.slice(1)] : value;
    }
    if (Array.isArray(value)) {
      var first = value[0];
      if (typeof first === "number" || first === null || (typeof first === "string" && first.charAt(0) !== "@")) { return value; }
      return value.map(function (item) { return coloured(item, colours); });
    }
    if (value && typeof value === "object") {
      var found = {};
      Object.keys(value).forEach(function (key) { found[key] = coloured(value[key], colours); });
      return found;
    }
    return value;
  }

  function template(colours) {
    var axis = {
      gridcolor: colours.grid, linecolor: colours.faint, zeroline: false, zerolinecolor: colours.faint,
      ticks: "outside", ticklen: 4, tickcolor: colours.faint, title: { standoff: 8 }
    };
    return {
      layout: {
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        font: { color: colours.ink, size: 12, family: getComputedStyle(document.body).fontFamily },
        xaxis: axis, yaxis: axis,
        hoverlabel: { bgcolor: colours.paper, bordercolor: colours.faint, font: { color: colours.ink }, align: "left" },
        legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 11 } },
        margin: { l: 52, r: 14, t: 34, b: 44 }, hovermode: "closest", bargap: 0.25
      }
    };
  }

  var CONFIG = {
    responsive: true, displaylogo: false, scrollZoom: false, showTips: false,
    modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"]
  };

  function draw(box) {
    var figure = JSON.parse(box.nextElementSibling.textContent);
    var colours = theme();
    var layout = coloured(figure.layout, colours);
    layout.template = template(colours);
    if (layout.showlegend === undefined) { layout.showlegend = figure.data.length > 1; }
    if (!layout.showlegend && !layout.margin) { layout.margin = { l: 52, r: 14, t: 14, b: 44 }; }
    // Paper has the width of an A4 page's text; on a screen a plot is as wide as its box.
    if (printing) { layout.width = box.closest(".small-multiples") ? 220 : 670; } else { layout.autosize = true; }
    figure.data.forEach(function (trace) {
      if (trace.trials) {
        trace.hovertext = trace.trials.map(function (number) { return number === null ? "" : trials[number]; });
        trace.hoverinfo = "text";
        delete trace.trials;
      }
    });
    return Plotly.react(box, coloured(figure.data, colours), layout, CONFIG);
  }

  var boxes = Array.prototype.slice.call(document.querySelectorAll(".plot"));
  var begun = performance.now();

  // Text until now: evaluated where it stands, it would keep the page blank for a second.
  function evaluatePlotly() {
    if (window.Plotly) { return; }
    var script = document.createElement("script");
    script.textContent = document.getElementById("plotly").textContent;
    document.head.appendChild(script);
  }

  // One after the other, with the page free in between, so that it can be read at once.
  function drawAll(index) {
    var until = performance.now() + 40;
    while (index < boxes.length && performance.now() < until) { draw(boxes[index]); index += 1; }
    if (index < boxes.length) {
      setTimeout(drawAll, 0, index);
    } else {
      document.documentElement.dataset.drawn = Math.round(performance.now() - begun) + "/" + Math.round(performance.now());
    }
  }

  function redraw() {
    evaluatePlotly();
    boxes.forEach(draw);
  }
  darkness.addEventListener("change", redraw);
  window.addEventListener("beforeprint", function () { printing = true; redraw(); });
  window.addEventListener("afterprint", function () {
    printing = false;
    redraw();
    boxes.forEach(function (box) { Plotly.Plots.resize(box); });
  });

  // What is told of a trial in the small plots, which plotly does not draw.
  var tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.appendChild(tip);
  document.addEventListener("mouseover", function (event) {
    var number = event.target.dataset && event.target.dataset.t;
    tip.hidden = number === undefined || !(number in trials);
    if (!tip.hidden) {
      tip.innerHTML = trials[number];
      var place = event.target.getBoundingClientRect();
      var left = Math.min(place.right + 8, document.documentElement.clientWidth - tip.offsetWidth - 8);
      tip.style.left = Math.max(8, left) + window.scrollX + "px";
      tip.style.top = place.bottom + 6 + window.scrollY + "px";
    }
  });

  function key(row, column) {
    var cell = row.cells[column];
    var value = cell.dataset.v === undefined ? cell.textContent.trim() : cell.dataset.v;
    var number = Number(value);
    return value === "" ? null : isNaN(number) ? value : number;
  }

  function sort(heading) {
    var table = heading.closest("table");
    var column = heading.cellIndex;
    var down = heading.getAttribute("aria-sort") === "ascending";
    Array.prototype.forEach.call(heading.parentNode.cells, function (other) { other.setAttribute("aria-sort", "none"); });
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    var rows = Array.prototype.slice.call(table.tBodies[0].rows);
    rows.map(function (row, place) { return { row: row, key: key(row, column), place: place }; })
      .sort(function (a, b) {
        if (a.key === null || b.key === null) {  // what has no value comes last in both directions
          return a.key === b.key ? a.place - b.place : a.key === null ? 1 : -1;
        }
        var order = typeof a.key === "number" && typeof b.key === "number"
          ? a.key - b.key : String(a.key).localeCompare(String(b.key));
        return (down ? -order : order) || a.place - b.place;
      })
      .forEach(function (item) { table.tBodies[0].appendChild(item.row); });
  }

  Array.prototype.forEach.call(document.querySelectorAll("table.sortable th"), function (heading) {
    heading.querySelector("button").addEventListener("click", function () { sort(heading); });
  });

  var links = {};
  Array.prototype.forEach.call(document.querySelectorAll("nav a"), function (link) {
    links[link.getAttribute("href").slice(1)] = link;
  });
  if ("IntersectionObserver" in window) {
    var observer = new IntersectionObserver(function (entries) {
      entries.forEach(function (entry) {
        var link = links[entry.target.id];
        if (link && entry.isIntersecting) {
          Object.keys(links).forEach(function (id) { links[id].removeAttribute("aria-current"); });
          link.setAttribute("aria-current", "true");
        }
      });
    }, { rootMargin: "-10% 0px -75% 0px" });
    Array.prototype.forEach.call(document.querySelectorAll("main > section"), function (one) { observer.observe(one); });
  }
  // Two turns later, when the page has been painted.
  requestAnimationFrame(function () {
    setTimeout(function () {
      evaluatePlotly();
      drawAll(0);
    }, 0);
  });
})();
