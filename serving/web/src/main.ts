// Entry: which serving does the address name?

import { byId } from "./shell.ts";
import { start } from "./live.ts";

const serving = new URLSearchParams(location.search).get("serving");
if (serving === null || serving === "") byId("chooser").hidden = false;
else start(serving);
