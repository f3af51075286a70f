"""Figures as the command line prints them: intervals of any space, and a warning where a lead is none."""

from recsvc.terminal import print_evaluation


def interval(mean, low, high):
    return {"mean": mean, "low": low, "high": high}


def told(capsys, leads, metrics=("knn@20", "recall@10", "map")):
    result = {
        "protocol": {"queries": "many"},
        "model": dict.fromkeys(metrics, 0.3),
        "baselines": {"untrained": dict.fromkeys(metrics, 0.2)},
        "intervals": {"level": 0.95, "method": "bootstrap", "model": dict.fromkeys(metrics, interval(0.3, 0.2, 0.4))}
        | {f"model_minus_{name}": dict.fromkeys(metrics, lead) for name, lead in leads.items()},
    }
    print_evaluation("image", result)
    return capsys.readouterr()


def test_leads_over_several_baselines(capsys):
    leads = {"untrained": interval(0.1, 0.05, 0.2), "histogram": interval(-0.1, -0.2, -0.05)}
    found = told(capsys, leads)
    lines = found.out.splitlines()
    assert "  95% intervals, bootstrap" in lines
    assert "  model              knn@20 0.3000 [0.2000, 0.4000]  map 0.3000 [0.2000, 0.4000]" in lines
    assert "  model - histogram  knn@20 -0.1000 [-0.2000, -0.0500]  map -0.1000 [-0.2000, -0.0500]" in lines
    assert found.err.strip().endswith("warning: the model is worse than the baseline histogram")
    assert "untrained" not in found.err


def test_a_lead_within_chance(capsys):
    found = told(capsys, {"untrained": interval(0.01, -0.02, 0.04)})
    assert "warning: the model cannot be told from the baseline untrained" in found.err


def test_pictures_without_labels(capsys):
    found = told(capsys, {"untrained": interval(0.1, 0.05, 0.2)}, metrics=("view_hit@1", "view_mrr"))
    assert "view_mrr +0.1000" in found.out and not found.err
