"""The service that one would otherwise write: FastAPI and the trained model in torch, nothing else.

    python benchmarks/peers/plain_service.py MODEL_FOLDER --port 8001 [--style async|def]

No filters, no checks of what comes in but the types, no swap of models, no limits. `benchmarks/service.py peer` starts
it on the folder that it keeps beside a release.
"""

import argparse
import json
from pathlib import Path

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from safetensors.torch import load_file

from recsvc.models.sequence.config import SequenceModelConfig
from recsvc.models.sequence.model import SequenceModel


class Question(BaseModel):
    """What the user has done."""

    history: list[str]
    k: int = 10


class Item(BaseModel):
    """One recommended item."""

    item_id: str
    score: float


class Answer(BaseModel):
    """Best first."""

    items: list[Item]


def create_app(folder: Path, style: str) -> FastAPI:
    """The application; ``style`` says whether its endpoint is ``def`` or ``async def``."""
    torch.set_num_threads(1)
    ids = json.loads((folder / "ids.json").read_text("utf-8"))
    row_of = {item_id: row for row, item_id in enumerate(ids)}
    config = SequenceModelConfig.model_validate_json((folder / "config.json").read_text("utf-8"))
    model = SequenceModel(len(ids), config)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    model.eval()
    app = FastAPI()

    def answer(question: Question) -> Answer:
        rows = [row_of[item_id] for item_id in question.history if item_id in row_of]
        with torch.inference_mode():
            scores = model.bias.data
            if rows:
                newest = torch.tensor([rows[-config.max_history :]])
                scores = model.score(model.query(model.embed(newest), None))[0]
                scores[rows] = -torch.inf
            best = scores.topk(question.k)
        found = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return Answer(items=[Item(item_id=ids[row], score=score) for row, score in found])

    async def answer_inline(question: Question) -> Answer:
        return answer(question)

    app.post("/v1/recommendations")(answer if style == "def" else answer_inline)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--style", choices=["async", "def"], default="async")
    arguments = parser.parse_args()
    app = create_app(arguments.folder, arguments.style)
    uvicorn.run(app, port=arguments.port, access_log=False, log_level="warning")
