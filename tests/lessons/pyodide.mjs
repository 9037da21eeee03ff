// Runs a Python script of this repository in Pyodide: node pyodide.mjs RUNTIME REPOSITORY SCRIPT PURE ARGUMENTS...
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [runtime, repository, script, pure, ...given] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(join(runtime, "pyodide.mjs")));
const pyodide = await loadPyodide({ indexURL: runtime, env: { HOME: "/home/pyodide", MINIVIT_STILL: "1" } });
pyodide.FS.mkdirTree("/repository");
pyodide.mountNodeFS("/repository", repository);
pyodide.FS.mkdirTree("/pure");  // packages of pure Python that Pyodide lacks
pyodide.mountNodeFS("/pure", pure);
const wanted = ["numpy", "scipy", "pillow", "matplotlib", "threadpoolctl"];
await pyodide.loadPackage(wanted, { messageCallback: () => {} });
pyodide.globals.set("script", script);
pyodide.globals.set("given", pyodide.toPy(given));
try {
  pyodide.runPython(`
import runpy, sys
sys.path[:0] = ["/repository", "/repository/lessons", "/pure"]
sys.argv = [script, *given]
runpy.run_path("/repository/" + script, run_name="__main__")
`);
} catch (error) {
  console.error(String(error.message).slice(-4000));  // without Node's own report, which shows pyodide.asm.js
  process.exit(1);
}
