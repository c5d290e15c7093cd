"""Train a bundled model: ``python -m mlx_backends.bundled.train lm|encoder|reranker``. Needs torch.

First make the two inputs in ``--folder``: ``prepare`` collects real prose from the installed
packages and learns the tokenizer. The weights go to ``--out``; ``export`` turns them into the
folders that ship. ``average`` writes a chat model between the one in ``--resume`` and the one in
``--out``, which continued it, to ``average`` below ``--out``: it may be exported instead.
"""

import argparse
import os
from pathlib import Path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mlx_backends.bundled.train", description=__doc__
    )
    parser.add_argument(
        "what", choices=("prepare", "lm", "encoder", "reranker", "average", "export")
    )
    parser.add_argument("--folder", type=Path, default=Path("build/bundled"))
    parser.add_argument("--manuals", type=Path, help="unpacked Debian documentation packages")
    parser.add_argument("--out", type=Path, default=Path("build/bundled/out"))
    parser.add_argument("--target", type=Path, default=Path(__file__).parent)
    parser.add_argument("--seconds", type=float, default=540)
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 2))
    parser.add_argument(
        "--tokens", type=int, default=46_080, help="of a batch; the chat model: a multiple of 46080"
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--eval-every", type=float, default=60)
    parser.add_argument("--eval-items", type=int, default=160)
    parser.add_argument("--bits", type=int, default=4, help="of export; the embedding has 6")
    parser.add_argument("--share", type=float, default=0.65, help="of the later run, in average")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def main() -> None:
    """Run one step of the training."""
    options = _parser().parse_args()
    if options.what == "prepare":
        from mlx_backends.bundled.training import prepare

        prepare.prepare(options.folder, options.manuals)
    elif options.what == "average":
        from mlx_backends.bundled.training import averaging

        if options.resume is None:
            raise SystemExit("average needs --resume: the weights that the run in --out continued.")
        target = options.out / "average"
        averaging.average(options.resume, options.out, target, share=options.share)
    elif options.what == "export":
        from mlx_backends.bundled.training import export

        export.export(options.folder, options.out, options.target, bits=options.bits)
    else:
        from mlx_backends.bundled.training import encoder, lm, reranker
        from mlx_backends.bundled.training.run import Run

        run = Run(
            folder=options.folder,
            out=options.out,
            seconds=options.seconds,
            workers=options.workers,
            tokens=options.tokens,
            device=options.device,
            gpus=options.gpus,
            resume=options.resume,
            muon_rate=options.rate,
            eval_every_s=options.eval_every,
            eval_items=options.eval_items,
            seed=options.seed,
        )
        {"lm": lm, "encoder": encoder, "reranker": reranker}[options.what].train(run)


if __name__ == "__main__":
    main()
