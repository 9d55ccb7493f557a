"""The reconstruction network with encoders of every kind, none of them pretrained."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from artasyn.detection.reconstruction import Gate, ReconstructionNet
from artasyn.errors import ModelError

ENCODERS = {
    "test_resnet": 64,
    "convnext_atto": 64,
    "mobilenetv3_small_100": 64,
    "vit_tiny_patch16_224": 64,
    "swin_tiny_patch4_window7_224": 128,
}
CONVOLUTIONAL = ["test_resnet", "convnext_atto", "mobilenetv3_small_100"]

Build = Callable[[str], ReconstructionNet]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small only wait for a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def build() -> Build:
    """Networks for inference, each made once."""
    made: dict[str, ReconstructionNet] = {}

    def build(encoder: str) -> ReconstructionNet:
        if encoder not in made:
            torch.manual_seed(0)
            made[encoder] = ReconstructionNet(encoder, size=ENCODERS[encoder]).eval()
        return made[encoder]

    return build


def images(count: int, rows: int, columns: int | None = None, seed: int = 0) -> Tensor:
    return torch.rand(count, 1, rows, columns or rows, generator=torch.Generator().manual_seed(seed))


def shut(gate: nn.Module, bias: float) -> None:
    """Closes (or with a negative bias opens) a gate whatever it sees."""
    assert isinstance(gate, Gate)
    last = gate.compare[-1]
    nn.init.zeros_(last.get_parameter("weight"))
    nn.init.constant_(last.get_parameter("bias"), bias)


@pytest.mark.parametrize("encoder", ENCODERS)
@torch.no_grad()
def test_any_encoder_reconstructs_alike_alone_in_a_batch_and_again(build: Build, encoder: str) -> None:
    net, batch = build(encoder), images(3, ENCODERS[encoder])
    found = net(batch)
    assert found.shape == batch.shape
    assert found.isfinite().all()
    assert torch.equal(net(batch), found)
    for number in range(3):
        torch.testing.assert_close(net(batch[number : number + 1])[0], found[number], rtol=1e-4, atol=1e-5)
    assert (found[0] - found[1]).abs().max() > 0.1


@pytest.mark.parametrize("encoder", ENCODERS)
@torch.no_grad()
def test_feature_maps_have_their_channels_in_front_and_grow_coarser(build: Build, encoder: str) -> None:
    net, size = build(encoder), ENCODERS[encoder]
    maps = net.encode(images(2, size))
    assert len(maps) == len(net.levels) + 1 == len(net.gates) + 1
    sides = [m.shape[2] for m in maps]
    assert all(m.shape[0] == 2 and m.shape[2] == m.shape[3] for m in maps)
    assert sides == sorted(sides, reverse=True)
    assert all(2 * side <= size and size % side == 0 for side in sides)


@torch.no_grad()
def test_channels_that_come_last_are_brought_to_the_front_even_where_they_equal_the_rows() -> None:
    net = ReconstructionNet("swin_tiny_patch4_window7_224", size=64).eval()

    class Encoder(nn.Module):
        output_fmt = "NHWC"

        def forward(self, images: Tensor) -> list[Tensor]:
            places = torch.arange(96.0).reshape(1, 96, 1, 1).expand(1, 96, 96, 96)
            return [places + 100 * torch.arange(96.0)]  # rows count ones, channels hundreds

    net.encoder = Encoder()
    (found,) = net.encode(images(1, 384))
    assert found[0, 3, 5, 0] == 305


@pytest.mark.parametrize("encoder", CONVOLUTIONAL)
@pytest.mark.parametrize(("rows", "columns"), [(33, 65), (97, 50), (100, 100)])
@torch.no_grad()
def test_convolutional_encoders_take_images_of_any_size(build: Build, encoder: str, rows: int, columns: int) -> None:
    batch = images(2, rows, columns)
    found = build(encoder)(batch)
    assert found.shape == batch.shape
    assert found.isfinite().all()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_gradients_reach_every_parameter_and_the_image(build: Build, encoder: str) -> None:
    net, batch = copy.deepcopy(build(encoder)), images(2, ENCODERS[encoder]).requires_grad_()
    with torch.no_grad():
        for parameter in net.parameters():  # timm starts some residual branches at exactly zero
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    (net(batch) - 0.5).square().mean().backward()
    reached = {name: p.grad is not None and bool(p.grad.any()) for name, p in net.named_parameters()}
    assert [name for name, is_reached in reached.items() if not is_reached] == []
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)
    assert batch.grad is not None
    assert batch.grad.any()


def test_closed_gates_keep_the_pixels_and_all_but_the_deepest_features_out() -> None:
    torch.manual_seed(0)
    net = ReconstructionNet("test_resnet", size=64).eval()
    first, second = images(2, 64, seed=1), images(2, 64, seed=2)
    with torch.no_grad():
        features, others = net.encode(first), net.encode(second)
        open_before = net.decode(features, second) - net.decode(features, first)
        assert open_before.abs().max() > 0.1
        shut(net.last_gate, 1e4)
        assert torch.equal(net.decode(features, first), net.decode(features, second))
        mixed = [*others[:-1], features[-1]]
        assert (net.decode(mixed, first) - net.decode(features, first)).abs().max() > 0.01
        for gate in net.gates:
            shut(gate, 1e4)
        assert torch.equal(net.decode(mixed, first), net.decode(features, first))
        assert (net.decode(others, first) - net.decode(features, first)).abs().max() > 0.01


@torch.no_grad()
def test_an_open_last_gate_lets_the_image_through_unharmed() -> None:
    net = ReconstructionNet("test_resnet", size=64).eval()
    shut(net.last_gate, -1e4)
    batch = images(2, 64)
    assert torch.equal(net(batch), batch)


@torch.no_grad()
def test_gates_are_mostly_open_before_training_and_between_zero_and_one() -> None:
    torch.manual_seed(0)
    gate = Gate(5, 3).eval()
    seen, expected = torch.randn(4, 3, 9, 7), torch.randn(4, 5, 9, 7)
    closed = gate(expected, seen)
    assert closed.shape == (4, 1, 9, 7)
    assert closed.min() > 0
    assert closed.max() < 1
    assert closed.mean() < 0.3
    assert closed.std() > 0.01  # it does look


@torch.no_grad()
def test_a_gate_decides_place_by_place(build: Build) -> None:
    """A gate closed in one half only: pixels of that half do not show, those of the other come through."""
    net, batch = build("test_resnet"), images(1, 64)

    class Half(Gate):
        def judge(self, compared: Tensor) -> Tensor:
            closed = torch.zeros_like(compared[:, :1])
            closed[..., 32:] = 1
            return closed

    features, gate = net.encode(batch), net.last_gate
    net.last_gate = Half(net.head.in_channels, 1)
    try:
        found, other = net.decode(features, batch), net.decode(features, 1 - batch)
    finally:
        net.last_gate = gate
    assert torch.equal(found[..., :32], batch[..., :32])
    assert torch.equal(found[..., 32:], other[..., 32:])


@torch.no_grad()
def test_gate_and_drawing_together_are_those_of_each_alone(build: Build) -> None:
    net, batch = build("test_resnet"), images(2, 64)
    features = torch.randn(2, net.head.in_channels, 64, 64)
    closed, drawn = net._drawn(features, batch)
    assert torch.allclose(closed, net.last_gate(features, batch), atol=1e-5)
    assert torch.allclose(drawn, net.head(features), atol=1e-5)


@torch.no_grad()
def test_inference_folds_the_encoder_and_gives_the_same(build: Build) -> None:
    net, batch = build("mobilenetv3_small_100"), images(2, 64)
    plain = net.encode(batch)
    with torch.inference_mode():
        fast = net.encode(batch)
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-4) for a, b in zip(fast, plain, strict=True))
    assert not torch.equal(fast[-1], plain[-1])  # it was folded


@pytest.mark.parametrize("channels", [(16,), (24, 12), (96, 64, 48, 32, 16, 8, 8)])
@torch.no_grad()
def test_decoder_channels_from_the_deepest_on(channels: tuple[int, ...]) -> None:
    net = ReconstructionNet("test_resnet", size=64, decoder_channels=channels).eval()
    widths = [block[0].out_channels for block in [net.bottleneck, *net.levels]]
    assert widths == [*channels, *[channels[-1]] * 5][:5]
    assert net(images(1, 64)).shape == (1, 1, 64, 64)


@pytest.mark.parametrize("name", ["no_such_net", "", "resnet18.no_such_weights", "crossvit_9_240.in1k"])
def test_what_timm_does_not_know_is_refused_by_name(name: str) -> None:
    with pytest.raises(ModelError, match=r"'.*' (is no timm model with feature maps|takes no images)") as error:
        ReconstructionNet(name)
    assert repr(name) in str(error.value)


def test_an_encoder_that_cannot_take_the_size_is_refused_at_once() -> None:
    with pytest.raises(ModelError, match="'efficientformer_l1' takes no images of 64 x 64"):
        ReconstructionNet("efficientformer_l1", size=64)


@pytest.mark.parametrize("levels", [2, 3])
@pytest.mark.parametrize("encoder", ["test_resnet", "convnext_atto", "efficientnet_lite0"])
def test_fewer_levels_are_the_finest_ones_without_the_weights_of_the_others(encoder: str, levels: int) -> None:
    torch.manual_seed(0)
    whole = ReconstructionNet(encoder, size=64).eval()
    fewer = ReconstructionNet(encoder, size=64, levels=levels).eval()
    known = whole.encoder.state_dict()
    fewer.encoder.load_state_dict({name: known[name] for name in fewer.encoder.state_dict()})
    batch = images(2, 64)
    with torch.no_grad():
        for one, other in zip(fewer.encode(batch), whole.encode(batch)[:levels], strict=True):
            torch.testing.assert_close(one, other)
    weights = [sum(p.numel() for p in net.encoder.parameters()) for net in (whole, fewer)]
    assert weights[1] < 0.5 * weights[0]
    found = fewer(batch)
    assert found.shape == batch.shape
    found.square().mean().backward()
    assert [name for name, p in fewer.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("encoder", ["test_resnet", "convnext_atto", "efficientnet_lite0"])
def test_more_levels_than_there_are_and_none_at_all_are_refused(encoder: str) -> None:
    with pytest.raises(ModelError, match=f"'{encoder}' has no 9 levels"):
        ReconstructionNet(encoder, size=64, levels=9)
    with pytest.raises(ModelError, match=f"levels must be 1 or more, or None for all of '{encoder}'; not 0"):
        ReconstructionNet(encoder, size=64, levels=0)


def test_a_fresh_network_is_ready_for_training_and_made_by_the_seed_alone() -> None:
    made = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        made.append(ReconstructionNet("test_resnet", size=64))
        assert all(module.training for module in made[-1].modules())
    first, again, other = (net.state_dict() for net in made)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
    running = [value for name, value in first.items() if name.endswith("running_mean")]
    assert running  # batch norm has seen nothing yet
    assert not any(value.any() for value in running)
