// Runs a program compiled for wasm32-wasip1: node tests/interop/wasi.mjs PROGRAM.wasm [ARGUMENT…]
import { readFile } from "node:fs/promises";
import { setFlagsFromString } from "node:v8";
import { WASI } from "node:wasi";

// with calls from compiled code straight into WASI, node 20 crashes every few runs
setFlagsFromString("--no-turbo-fast-api-calls");

const [program, ...args] = process.argv.slice(2);
const preopens = { "/": "/" };
const wasi = new WASI({ version: "preview1", args: [program, ...args], env: process.env, preopens, returnOnExit: true });
const module = await WebAssembly.compile(await readFile(program));
const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
process.exitCode = wasi.start(instance);
