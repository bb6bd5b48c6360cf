"""python -m src.temporal_consistency CLIP...: score the temporal consistency of existing clips."""

from src.cli.temporal_consistency import main

if __name__ == "__main__":
    main()
