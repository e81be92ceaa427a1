"""Weights in torchvision's names: every tensor in its place, or the first that is not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.weights import used
from tqgd_jax.baselines.pretrained import Weights, resnet_names, with_weights
from tqgd_jax.baselines.resnet import ResNet
from tqgd_jax.baselines.vgg import STAGES, VGG16, torchvision_names

WIDTH = 0.125  # 8, 16, 32, 64 and 64 channels
WIDTHS = [features // 8 for stage in STAGES for features in stage]
CONVS = {  # numbers of the convolutions in torchvision's vgg16 and vgg16_bn
    False: (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
    True: (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40),
}


def tensors(batch_norm):
    """As torchvision would save a narrow VGG16: kernels (out, in, 3, 3)."""
    rng, made, before = np.random.default_rng(0), {}, 3
    for layer, features in zip(CONVS[batch_norm], WIDTHS, strict=True):
        bound = 1.5 / np.sqrt(9 * before)
        kernel = rng.uniform(-bound, bound, (features, before, 3, 3))
        values = {f"{layer}.weight": kernel, f"{layer}.bias": kernel[:, 0, 0, 0]}
        if batch_norm:
            n = layer + 1
            for name in ("weight", "running_var"):
                values[f"{n}.{name}"] = rng.uniform(0.5, 1, features)
            for name in ("bias", "running_mean"):
                values[f"{n}.{name}"] = rng.uniform(-0.5, 0.5, features)
        made |= {f"features.{k}": v.astype(np.float32) for k, v in values.items()}
        if batch_norm:
            made[f"features.{n}.num_batches_tracked"] = np.array(7)
        before = features
    made["classifier.0.weight"] = np.zeros((4, 4), np.float32)
    return made


def load(folder, made, *, batch_norm, channels=3):
    file = folder / "vgg.safetensors"
    save_file(made, file)
    names = torchvision_names(batch_norm=batch_norm, encoder="encoder")
    image = jnp.zeros((1, 32, 32, channels))
    of_encoder = used(VGG16(batch_norm, WIDTH), image)
    variables = {room: {"encoder": tree} for room, tree in of_encoder.items()}
    variables.setdefault("batch_stats", {})
    variables["params"]["logits"] = {"bias": np.full(1, 5.0)}
    return with_weights(variables, Weights(file, "vgg16", names))


@pytest.mark.parametrize("batch_norm", [False, True])
def test_every_tensor_has_its_place(batch_norm, tmp_path):
    made = tensors(batch_norm)
    variables = load(tmp_path, made, batch_norm=batch_norm)
    encoder = variables["params"]["encoder"]
    last = CONVS[batch_norm][-1]
    np.testing.assert_array_equal(
        encoder["conv5_3"]["conv"]["kernel"],
        made[f"features.{last}.weight"].transpose(2, 3, 1, 0),
    )
    np.testing.assert_array_equal(
        encoder["conv1_2"]["conv"]["bias"],
        made[f"features.{CONVS[batch_norm][1]}.bias"],
    )
    assert variables["params"]["logits"]["bias"] == 5  # not in the file
    if batch_norm:
        norm = variables["batch_stats"]["encoder"]["conv5_3"]["norm"]
        np.testing.assert_array_equal(norm["mean"], made["features.41.running_mean"])
        np.testing.assert_array_equal(norm["var"], made["features.41.running_var"])
        scale = encoder["conv5_3"]["norm"]["scale"]
        np.testing.assert_array_equal(scale, made["features.41.weight"])


def test_of_one_channel_the_first_kernel_is_the_sum(tmp_path):
    made = tensors(False)
    variables = load(tmp_path, made, batch_norm=False, channels=1)
    kernel = variables["params"]["encoder"]["conv1_1"]["conv"]["kernel"]
    expected = made["features.0.weight"].sum(1)[:, None].transpose(2, 3, 1, 0)
    np.testing.assert_allclose(kernel, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t | {"layer1.0.weight": t["features.0.bias"]}, "'layer1.0.weight' "),
        (lambda t: t.pop("features.2.bias"), r"'features.2.bias' \(1 in all\) is miss"),
        (
            lambda t: t.update({"features.5.bias": np.zeros(9, np.float32)}),
            r"'features.5.bias' is \(9,\).*conv2_1/conv/bias is \(16,\)",
        ),
        (
            lambda t: t.update({"features.0.bias": np.full(8, np.nan, np.float32)}),
            "'features.0.bias' has values that are not finite",
        ),
    ],
)
def test_the_first_tensor_that_does_not_fit_is_named(change, message, tmp_path):
    made = tensors(False)
    changed = change(made)
    with pytest.raises(ValueError, match=message) as error:
        load(tmp_path, changed if isinstance(changed, dict) else made, batch_norm=False)
    assert "vgg.safetensors" in str(error.value)


def test_batch_norm_does_not_come_from_a_file_without(tmp_path):
    with pytest.raises(ValueError, match=r"'features.2.bias'.*torchvision's vgg16"):
        load(tmp_path, tensors(False), batch_norm=True)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    file = tmp_path / "weights.pth"
    with pytest.raises(ValueError, match=r"weights\.pth cannot be read"):
        with_weights({"params": {}}, Weights(file, "vgg16", {}))
    file.write_bytes(b"PK\x03\x04 a pickle")
    with pytest.raises(ValueError, match="give a safetensors file"):
        with_weights({"params": {}}, Weights(file, "vgg16", {}))


def test_names_of_a_resnet():
    conv = {"kernel": 0}
    norm = {
        "params": {"scale": 0, "bias": 0},
        "batch_stats": {"mean": 0, "var": 0},
    }
    variables = {
        "params": {
            "backbone": {
                "conv1": conv,
                "layer2_0": {
                    "conv2": conv,
                    "downsample_1": norm["params"],
                },
            },
            "neck": {"conv1": conv},
        },
        "batch_stats": {
            "backbone": {"layer2_0": {"downsample_1": norm["batch_stats"]}}
        },
    }
    place = "backbone/layer2_0"
    assert resnet_names(variables, "backbone") == {
        "conv1.weight": "params/backbone/conv1/kernel",
        "layer2.0.conv2.weight": f"params/{place}/conv2/kernel",
        "layer2.0.downsample.1.weight": f"params/{place}/downsample_1/scale",
        "layer2.0.downsample.1.bias": f"params/{place}/downsample_1/bias",
        "layer2.0.downsample.1.running_mean": f"batch_stats/{place}/downsample_1/mean",
        "layer2.0.downsample.1.running_var": f"batch_stats/{place}/downsample_1/var",
    }


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_encoder_gives_what_pytorch_gives(batch_norm, tmp_path):
    torch = pytest.importorskip("torch")
    made, layers, before = tensors(batch_norm), [], 3
    for i, features in enumerate(WIDTHS):
        layers.append(torch.nn.Conv2d(before, features, 3, padding=1))
        if batch_norm:
            layers.append(torch.nn.BatchNorm2d(features))
        layers.append(torch.nn.ReLU())
        if i in (1, 3, 6, 9, 12):
            layers.append(torch.nn.MaxPool2d(2, return_indices=False))
        before = features
    theirs = torch.nn.ModuleDict({"features": torch.nn.Sequential(*layers)}).eval()
    state = {k: torch.from_numpy(v) for k, v in made.items() if "classifier" not in k}
    theirs.load_state_dict(state)
    image = np.random.default_rng(1).uniform(size=(1, 64, 64, 3)).astype(np.float32)
    with torch.no_grad():
        expected = theirs["features"](torch.from_numpy(image.transpose(0, 3, 1, 2)))
    # What PyTorch itself would save.
    saved = {k: v.numpy() for k, v in theirs.state_dict().items()}
    variables = load(tmp_path, saved, batch_norm=batch_norm)
    encoder = {room: tree.get("encoder", {}) for room, tree in variables.items()}
    ends = jax.jit(lambda v, x: VGG16(batch_norm, WIDTH).apply(v, x, train=False))(
        encoder, image
    )
    expected = expected.numpy().transpose(0, 2, 3, 1)
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(ends[-1].maximum, expected, rtol=1e-4, atol=1e-6)


def torch_resnet18(torch, width):
    """The resnet18 of torchvision without its classifier, in its own names."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, i, o, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(i, o, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(o)
            self.conv2 = nn.Conv2d(o, o, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(o)
            self.downsample = None
            if stride > 1:
                short = nn.Conv2d(i, o, 1, stride, bias=False)
                self.downsample = nn.Sequential(short, nn.BatchNorm2d(o))

        def forward(self, x):
            y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
            return torch.relu(y + (self.downsample(x) if self.downsample else x))

    class ResNet18(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            i = width
            for n in range(4):
                o = width * 2**n
                blocks = [Block(i, o, 2 if n else 1), Block(o, o, 1)]
                self.add_module(f"layer{n + 1}", nn.Sequential(*blocks))
                i = o

        def forward(self, x):
            x = torch.relu(self.bn1(self.conv1(x)))
            x, stages = nn.functional.max_pool2d(x, 3, 2, 1), []
            for n in range(4):
                x = getattr(self, f"layer{n + 1}")(x)
                stages.append(x)
            return stages

    return ResNet18()


def test_the_resnet_gives_what_pytorch_gives_with_the_file_it_saved(tmp_path):
    torch = pytest.importorskip("torch")
    save = pytest.importorskip("safetensors.torch").save_file
    torch.manual_seed(0)
    theirs = torch_resnet18(torch, width=8)
    image = torch.rand(2, 3, 64, 64)
    theirs.train()(image)  # running statistics other than 0 and 1
    save(theirs.state_dict(), tmp_path / "resnet.safetensors")
    with torch.no_grad():
        expected = theirs.eval()(image)
    ours, x = ResNet(18, "batch", 0.125), image.numpy().transpose(0, 2, 3, 1)
    variables = {
        room: {"backbone": tree} for room, tree in used(ours, jnp.asarray(x)).items()
    }
    names = resnet_names(variables, "backbone")
    file = tmp_path / "resnet.safetensors"
    loaded = with_weights(variables, Weights(file, "resnet18", names))
    backbone = {room: tree["backbone"] for room, tree in loaded.items()}
    stages = jax.jit(lambda v, x: ours.apply(v, x, train=False))(backbone, x)
    for ours_of, theirs_of in zip(stages, expected, strict=True):
        want = theirs_of.numpy().transpose(0, 2, 3, 1)
        assert np.abs(want).max() > 0.01
        np.testing.assert_allclose(ours_of, want, rtol=1e-4, atol=1e-6)
