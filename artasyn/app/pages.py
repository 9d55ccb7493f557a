"""The page itself, in gradio: what stands where, and which answer belongs to which button."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from artasyn.app.answers import Answers
from artasyn.app.cards import FIRST, FIRST_SCAN, FIRST_TWIN, HEADER, notice
from artasyn.app.twin import SIDES, ZONES, usual_severity
from artasyn.doors import required
from artasyn.findings import FindingName
from artasyn.segment.projection.view import View
from artasyn.synthesis.finding import FINDINGS

FILMS = "Film: PNG, JPEG, TIFF, DICOM"
VOLUMES = "CT: NIfTI, NRRD, MHA or ZIP"
LABELS = "Labels, if there are any"
NAMES = "Names of the labels"
FIRST_FINDING: FindingName = "consolidation"

QUEUE = "models"
"""The name of the queue that all work shares, so that one request is worked on at a time."""


def build_page(answers: Answers, *, keep: float) -> Any:
    """Returns the page as gradio's ``Blocks``.

    Args:
        answers: what the buttons call.
        keep: seconds for which the reading of a film is kept.

    Raises:
        MissingExtra: gradio is not installed.
    """
    gr = required("gradio", extra="app")
    with gr.Blocks(title="artasyn", analytics_enabled=False, fill_width=True) as page:
        gr.HTML(HEADER)
        reading = gr.State(None, time_to_live=keep)
        with gr.Tabs():
            with gr.Tab("Film"):
                _film_tab(gr, answers, reading)
            with gr.Tab("Synthetic twin"):
                _twin_tab(gr, answers, reading, keep)
            with gr.Tab("CT"):
                _scan_tab(gr, answers)
        page.unload(_with_session(gr, answers.desk.leave))
    return page


def _film_tab(gr: Any, answers: Answers, reading: Any) -> None:
    with gr.Row():
        with gr.Column(scale=1, min_width=260):
            film = gr.File(label=FILMS, elem_id="film", height=150)
            with gr.Group():
                seed = gr.Number(1, label="Phantom number", precision=0, minimum=0, elem_id="phantom-seed")
                lesions = gr.Checkbox(True, label="with lesions")
                show = gr.Button("Show the phantom", elem_id="phantom", variant="primary")
            pack = gr.Button("Pack all results", elem_id="pack-film")
            packed = gr.File(label="ZIP", interactive=False, visible=False, elem_id="film-zip", height=70)
        with gr.Column(scale=4, min_width=320):
            card = gr.HTML(notice(FIRST), elem_id="film-card")
            pictures, measures = gr.HTML(elem_id="film-pictures"), gr.HTML(elem_id="measures")
    shown = [reading, card, pictures, measures]
    _note(gr, answers, film)
    _on(gr, film.change, lambda _, path: answers.film(path), [film], shown)
    _on(gr, show.click, lambda _, *given: answers.phantom(*given), [seed, lesions], shown)
    _on(gr, pack.click, _file(gr, answers.packed_film), [reading], [packed])
    reading.change(lambda: gr.update(value=None, visible=False), None, packed, api_visibility="private")


def _twin_tab(gr: Any, answers: Answers, reading: Any, keep: float) -> None:
    twin = gr.State(None, time_to_live=keep)
    with gr.Row():
        with gr.Column(scale=1, min_width=260):
            seed = gr.Number(0, label="Seed", precision=0, minimum=0, elem_id="twin-seed")
            with gr.Group():
                names = [(name.replace("_", " "), name) for name in FINDINGS]
                finding = gr.Dropdown(names, value=FIRST_FINDING, label="Finding", elem_id="finding")
                usual = usual_severity(FIRST_FINDING)
                severity = gr.Slider(0.05, 1, usual, step=0.01, label="Severity (1: soft tissue)", elem_id="severity")
                zone = gr.Dropdown(list(ZONES), value=ZONES[0], label="Zone", elem_id="zone")
                side = gr.Dropdown(list(SIDES), value=SIDES[0], label="Patient's side", elem_id="side")
                make = gr.Button("Make the twin", elem_id="make-twin", variant="primary")
            with gr.Group():
                sentence = gr.Textbox(
                    label="Or describe it",
                    placeholder="small right pleural effusion and consolidation in the left lower lobe",
                    lines=3,
                    max_length=500,
                    elem_id="prompt",
                )
                imagine = gr.Button("Make what the words say", elem_id="imagine", variant="primary")
            pack = gr.Button("Pack the twin", elem_id="pack-twin")
            packed = gr.File(label="ZIP", interactive=False, visible=False, elem_id="twin-zip", height=70)
        with gr.Column(scale=4, min_width=320):
            pictures, card = gr.HTML(elem_id="twin"), gr.HTML(notice(FIRST_TWIN), elem_id="twin-card")
    shown = [twin, card, pictures]
    wish = [finding, severity, zone, side, seed]
    finding.change(usual_severity, finding, severity, api_visibility="private", queue=False)
    _on(gr, make.click, lambda _, film, *given: answers.chosen(film, given), [reading, *wish], shown)
    _on(gr, imagine.click, lambda _, *given: answers.described(*given), [reading, sentence, seed], shown)
    _on(gr, pack.click, _file(gr, answers.packed_twin), [twin], [packed])
    twin.change(lambda: gr.update(value=None, visible=False), None, packed, api_visibility="private")


def _scan_tab(gr: Any, answers: Answers) -> None:
    with gr.Row():
        with gr.Column(scale=1, min_width=260):
            files = [
                gr.File(label=VOLUMES, elem_id="ct", height=130),
                gr.File(label=LABELS, elem_id="labels", height=130),
                gr.File(label=NAMES, elem_id="names", height=130),
            ]
            usual = [(name.replace("_", " "), name) for name in View.NAMES if name != "lateral"]
            views = gr.CheckboxGroup(usual, value=["pa", "left_lateral"], label="Views", elem_id="views")
            angles = gr.Textbox("", label="Further angles, degrees", placeholder="30, -45", max_length=60)
            project = gr.Button("Project the CT", elem_id="project", variant="primary")
            with gr.Group():
                seed = gr.Number(1, label="Phantom number", precision=0, minimum=0)
                phantom = gr.Button("Project the CT of the phantom", elem_id="phantom-ct", variant="primary")
        with gr.Column(scale=4, min_width=320):
            card = gr.HTML(notice(FIRST_SCAN), elem_id="ct-card")
            pictures = gr.HTML(elem_id="ct-films")
            packed = gr.File(label="ZIP with all films and masks", interactive=False, elem_id="ct-zip", height=70)
    shown = [card, pictures, packed]

    def projected(session: str, ct: Any, labels: Any, names: Any, *chosen: Any) -> Any:
        return answers.scan(session, (ct, labels, names), *chosen)

    for file in files:
        _note(gr, answers, file)
    _on(gr, project.click, projected, [*files, views, angles], shown)
    _on(gr, phantom.click, answers.phantom_scan, [seed, views, angles], shown)


def _on(gr: Any, event: Any, answer: Callable[..., Any], given: list[Any], shown: list[Any]) -> None:
    """Makes an event call an answer with the session and the inputs, one user after the other."""
    event(
        _with_session(gr, answer),
        given,
        shown,
        api_visibility="private",
        concurrency_id=QUEUE,
        concurrency_limit=1,
        show_progress_on=shown[-1] if len(shown) == 1 else shown[1],
    )


def _note(gr: Any, answers: Answers, box: Any) -> None:
    """Makes the server note at once whose the files of a box are, before their work has its turn."""
    box.upload(_with_session(gr, answers.sent), [box], None, api_visibility="private", queue=False)


def _with_session(gr: Any, answer: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function that gradio gives the request, and that gives the answer the session's name."""

    def call(request: Any, *given: Any) -> Any:
        return answer(request.session_hash or "", *given)

    call.__annotations__["request"] = gr.Request  # gradio looks at it to know what to give
    return call


def _file(gr: Any, pack: Callable[..., str | None]) -> Callable[..., Any]:
    """Returns a function that shows the ZIP that `pack` writes, or nothing where there is nothing to pack."""

    def call(session: str, found: Any) -> Any:
        path = pack(session, found)
        if path is None:
            gr.Info("There is nothing to pack yet.")
        return gr.update(value=path, visible=path is not None)

    return call
