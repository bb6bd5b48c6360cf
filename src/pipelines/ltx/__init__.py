"""The family LTX-Video, image to video. Only `src.pipelines.families` imports this room."""
