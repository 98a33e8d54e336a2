// Sorts by the cells' own numbers; those without one stay last.
document.querySelectorAll("table.sortable").forEach(function (table) {
  var heads = table.tHead.rows[0].cells;
  Array.prototype.forEach.call(heads, function (head, column) {
    var button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", function () {
      var down = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") !== "descending"
        : button.dataset.first !== "up";
      Array.prototype.forEach.call(heads, function (other) { other.removeAttribute("aria-sort"); });
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      var rows = Array.prototype.slice.call(table.tBodies[0].rows);
      rows.sort(function (a, b) {
        var x = a.cells[column].dataset.v, y = b.cells[column].dataset.v;
        if (x === "" || y === "") return (x === "") - (y === "");
        var gap = column ? x - y : x.localeCompare(y);
        return down ? -gap : gap;
      });
      rows.forEach(function (row) { table.tBodies[0].appendChild(row); });
    });
  });
});
