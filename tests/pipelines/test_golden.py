"""The authors' checkpoints reach their published figures through our own code."""

import pytest

from pipelines import evaluate

CHECKPOINTS = "official_xunit"


def mean_psnr(real_data, checkpoint, data, **arguments) -> float:
    config = evaluate.Config(
        str(real_data / CHECKPOINTS / checkpoint), (data,), **arguments
    )
    model = evaluate.load_model(config.model)
    protocol = evaluate.find_protocol(config, model)
    rows = evaluate.evaluate(model, data, protocol, real_data)
    assert rows[0]["input_psnr"] < rows[0]["psnr"]
    return evaluate.means(rows)["psnr"]


@pytest.mark.slow
@pytest.mark.parametrize(("sigma", "expected"), [(25, 29.227), (50, 26.262)])
def test_denoising(real_data, sigma, expected):
    checkpoint = f"xdncnn_res_f64k3k9_s{sigma}.pkl"
    measured = mean_psnr(real_data, checkpoint, "bsd68", sigma=sigma)
    assert measured == pytest.approx(expected, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("checkpoint", "scale", "data", "expected"),
    [
        ("xsrcnnf_s3_k9k3k5.pkl", 3, "set5", 32.90),
        ("xsrcnnf_s4_k9k3k5.pkl", 4, "set5", 30.72),
        ("xsrcnnc_s3_c42c32.pkl", 3, "set5", 32.86),
        ("xsrcnnc_s4_c42c32.pkl", 4, "set5", 30.65),
        ("xsrcnnf_s3_k9k3k5.pkl", 3, "set14", 29.47),
        ("xsrcnnf_s4_k9k3k5.pkl", 4, "set14", 27.76),
        ("xsrcnnc_s3_c42c32.pkl", 3, "set14", 29.45),
        ("xsrcnnc_s4_c42c32.pkl", 4, "set14", 27.71),
        ("xsrcnnf_s3_k9k3k5.pkl", 3, "bsd100", 28.53),
        ("xsrcnnf_s4_k9k3k5.pkl", 4, "bsd100", 27.06),
        ("xsrcnnc_s3_c42c32.pkl", 3, "bsd100", 28.54),
        ("xsrcnnc_s4_c42c32.pkl", 4, "bsd100", 27.04),
    ],
)
def test_super_resolution(real_data, checkpoint, scale, data, expected):
    measured = mean_psnr(real_data, checkpoint, data, scale=scale)
    assert measured == pytest.approx(expected, abs=0.02)
