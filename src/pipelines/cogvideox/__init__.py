"""The family CogVideoX, 1.0 and 1.5, image to video. Only `src.pipelines.families` imports this
room."""
