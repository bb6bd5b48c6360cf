"""The family Wan 2.2 TI2V, image to video. Only `src.pipelines.families` imports this room."""
