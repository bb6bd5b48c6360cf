"""python -m src.upscale_video: enlarge a video and lose nothing of it."""

from src.cli.upscale_video import upscale_video_app

if __name__ == "__main__":
    upscale_video_app()(prog_name="python -m src.upscale_video")
