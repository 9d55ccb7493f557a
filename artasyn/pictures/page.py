"""The page of a report: its template, style and script, which fetch nothing.

Without JavaScript all is readable and pictures grow when they are chosen; JavaScript only sorts the list of films.
"""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #1c2733; }
h1 { line-height: 1.2; overflow-wrap: anywhere; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .25rem 1rem .25rem 0; text-align: left; border-bottom: 1px solid #d5dde5; vertical-align: top; }
td + td { font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
.facts th { font-weight: normal; color: #5a6875; }
.facts td { overflow-wrap: anywhere; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 1rem 0; max-width: 100%; }
.plots figure { margin: 0; width: 462px; }
img { max-width: 100%; }
figcaption, footer { color: #5a6875; font-size: .9rem; }
.films td { vertical-align: middle; }
.films td:nth-child(2) { overflow-wrap: anywhere; }
.films th { white-space: nowrap; }
.films th button { font: inherit; font-weight: bold; border: 0; padding: 0; background: none; cursor: pointer; }
.films th button::after { content: " \\2195"; color: #8a97a3; }
.films th[aria-sort=ascending] button::after { content: " \\2191"; }
.films th[aria-sort=descending] button::after { content: " \\2193"; }
.zoom { display: inline-block; cursor: zoom-in; }
.zoom input { position: absolute; opacity: 0; }
.zoom input:focus-visible + span { outline: 3px solid #0072b2; }
.zoom span { display: flex; gap: 4px; }
.zoom figure { margin: 0; }
.zoom figcaption { display: none; }
.zoom img { display: block; height: 104px; width: auto; max-width: none; }
.zoom input:checked + span { position: fixed; inset: 0; z-index: 1; overflow: auto; flex-wrap: wrap; cursor: zoom-out;
  justify-content: center; align-content: safe center; gap: 1rem; padding: 1rem; background: #101012; }
.zoom input:checked + span img { height: auto; max-width: min(100%, 96vw); max-height: 90vh; }
.zoom input:checked + span figcaption { display: block; color: #e1e1e1; }
@media (min-width: 641px) {
  .zoom input:checked + span { flex-wrap: nowrap; }
  .zoom input:checked + span figure:not(:only-child) img { max-width: 47vw; }
}
@media (max-width: 640px) {
  th, td { padding-right: .6rem; font-size: .9rem; }
  .films thead tr { display: flex; flex-wrap: wrap; gap: .2rem 1rem; }
  .films thead th { border: 0; }
  .films tbody tr { display: block; border-bottom: 1px solid #d5dde5; padding: .6rem 0; }
  .films tbody td { display: inline-block; border: 0; padding: 0 .8rem 0 0; }
  .films tbody td:first-child, .films tbody td:nth-child(2) { display: block; }
  .films tbody td[data-name]::before { content: attr(data-name) " "; color: #5a6875; }
}
@media print { .films { font-size: .8rem; } tr, figure { break-inside: avoid; } }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{% if facts %}
<table class="facts">
{% for name, value in facts %}
<tr><th scope="row">{{ name }}</th><td>{{ value }}</td></tr>
{% endfor %}
</table>
{% endif %}
{% for section in sections %}
<h2>{{ section.title }}</h2>
{% if section.text %}
<p>{{ section.text }}</p>
{% endif %}
{% if section.rows %}
<div class="wide"><table>
<tr>{% for cell in section.header %}<th>{{ cell }}</th>{% endfor %}</tr>
{% for row in section.rows %}
<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>
{% endif %}
{% if section.pictures %}
<div class="{{ "plots" if section.pictures | length > 1 else "one" }}">
{% for caption, picture in section.pictures %}
<figure><img src="{{ picture | data_uri }}" alt="{{ caption }}"><figcaption>{{ caption }}</figcaption></figure>
{% endfor %}
</div>
{% endif %}
{% if section.films %}
{% if section.films.note %}
<p>{{ section.films.note }}</p>
{% endif %}
<table class="films">
<thead><tr><th scope="col">picture</th><th scope="col" data-sorts>film</th>
{%- for name in section.films.columns %}<th scope="col" data-sorts>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for film in section.films.films %}
<tr><td>
{%- if film.pictures %}<label class="zoom"><input type="checkbox" aria-label="enlarge {{ film.name }}"><span>
{%- for caption, uri in film.pictures %}
<figure><img src="{{ uri }}" alt="{{ caption }}"><figcaption>{{ film.name }}: {{ caption }}</figcaption></figure>
{%- endfor %}</span></label>{% endif %}</td><td data-key="{{ film.name }}"><a href="{{ film.address }}">
{{- film.name }}</a></td>
{%- for cell in film.cells %}
<td data-name="{{ section.films.columns[loop.index0] }}" data-key="{{ cell.key }}"
{%- if cell.numeric %} data-numeric{% endif %}>{{ cell.text }}</td>
{%- endfor %}</tr>
{% endfor %}
</tbody>
</table>
{% endif %}
{% endfor %}
<footer>artasyn {{ version }}. For research use; not a medical device.</footer>
<script>
for (const heading of document.querySelectorAll(".films th[data-sorts]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...heading.childNodes);
  heading.append(button);
  button.onclick = () => {
    const place = heading.cellIndex, body = heading.closest("table").tBodies[0], rows = [...body.rows];
    const numeric = rows.some(row => "numeric" in row.cells[place].dataset);
    const usual = numeric ? "descending" : "ascending", other = numeric ? "ascending" : "descending";
    const way = heading.getAttribute("aria-sort") === usual ? other : usual, sign = way === "ascending" ? 1 : -1;
    const key = row => numeric ? Number(row.cells[place].dataset.key) : row.cells[place].dataset.key;
    const before = (one, two) => numeric ? one - two : one.localeCompare(two, "en", { numeric: true });
    const last = value => Number.isNaN(value) || value === "";
    rows.sort((one, two) => {
      const [a, b] = [key(one), key(two)];
      return last(a) || last(b) ? last(a) - last(b) : sign * before(a, b);
    });
    for (const each of heading.parentNode.cells) each.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", way);
    body.append(...rows);
  };
}
addEventListener("keydown", event => {
  if (event.key === "Escape") for (const box of document.querySelectorAll(".zoom input:checked")) box.checked = false;
});
</script>
</body>
</html>
"""
