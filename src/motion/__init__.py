"""Floor 1: optical flow (TV-L1), warping, occlusion, shot cuts."""
