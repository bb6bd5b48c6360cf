// What the pages do besides forms and links, which work without this.
import { watchBoard } from "./board.js";
import { playInStep } from "./compare.js";
import { watchCheck, watchDecision } from "./decide.js";
import { watchKeys } from "./keys.js";
import { follow } from "./live.js";
import { offerNotices } from "./notices.js";
import { watchStudio } from "./studio.js";
import { showTimes } from "./times.js";

document.documentElement.classList.add("scripted");
showTimes(document);
watchStudio();
watchBoard();
playInStep();
watchKeys();
watchDecision();
watchCheck();
offerNotices();
follow();
