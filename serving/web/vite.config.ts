// One page, one bundle, same-origin files with hashed names: fit for CSP `default-src 'self'`.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { defineConfig, type Plugin } from "vite";
import { TABLE_NOTICE } from "./src/palette-tables.ts";

// What is bundled must travel with its licence: apache-arrow and all it depends on.
function licences(): Plugin {
  return {
    name: "licences",
    apply: "build",
    generateBundle() {
      const lock = JSON.parse(readFileSync("package-lock.json", "utf8")) as {
        packages: Record<string, { version: string; license?: string; dev?: boolean }>;
      };
      const parts = [TABLE_NOTICE];
      for (const [folder, entry] of Object.entries(lock.packages)) {
        if (folder === "" || entry.dev) continue;
        const files = readdirSync(folder).filter((name) => /^(licen[cs]e|notice)/i.test(name));
        const texts = files.map((name) => readFileSync(join(folder, name), "utf8").trim());
        const title = `${folder.replace("node_modules/", "")} ${entry.version}`;
        parts.push(`${title} (${entry.license ?? "see below"})\n\n${texts.join("\n\n")}`);
      }
      const source = `${parts.join(`\n\n${"-".repeat(72)}\n\n`)}\n`;
      this.emitFile({ type: "asset", fileName: "licences.txt", source });
    },
  };
}

export default defineConfig({
  // Relative, so that the bundle works wherever it is mounted.
  base: "./",
  build: {
    outDir: "../static",
    emptyOutDir: true,
    target: "es2022",
    // Inlined files would be data: URLs, which the page's policy forbids.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  plugins: [licences()],
  server: {
    host: "127.0.0.1",
    proxy: { "/v1": { target: "http://127.0.0.1:8002", ws: true } },
  },
});
