import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { defineConfig } from "vite";

// The server hands out a file's .gz to browsers that take it: a third of the bytes.
const compress = {
  name: "compress",
  apply: "build",
  async writeBundle({ dir }) {
    const assets = join(dir, "assets");
    const names = (await readdir(assets)).filter((name) => /\.(js|css|svg|ttf)$/.test(name));
    const pack = async (name) =>
      writeFile(join(assets, `${name}.gz`), await promisify(gzip)(await readFile(join(assets, name)), { level: 9 }));
    await Promise.all(names.map(pack));
  },
};

export default defineConfig({
  // Addresses inside the bundle are relative to each other; the page's own are set below.
  base: "./",
  build: {
    outDir: "../connectory/static/graphiql",
    emptyOutDir: true,
    target: "es2022",
    // Monaco is one large chunk by nature.
    chunkSizeWarningLimit: 4000,
    license: { fileName: "licenses.md" },
    rolldownOptions: {
      // "use client" and "use no memo" of the libraries speak to tools that do not run here.
      onLog: (level, log, report) => {
        if (log.code !== "MODULE_LEVEL_DIRECTIVE") report(level, log);
      },
    },
  },
  plugins: [compress],
  experimental: {
    // The page is served as …/graphql and the files of assets/ as …/graphql/static/.
    renderBuiltUrl: (filename, { hostType }) =>
      hostType === "html" ? filename.replace(/^assets\//, "graphql/static/") : { relative: true },
  },
  server: {
    // `npm run dev` beside a running gateway.
    proxy: { "/graphql": { target: "http://127.0.0.1:8000", ws: true } },
  },
});
