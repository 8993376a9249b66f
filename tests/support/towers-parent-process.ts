/** Loads a release in a process of its own, says that one's pid, and stays: `<folder of the model store> <release>`. */
import { openFileModelStore } from '../../adapters/model-store/file.ts'
import { startTowers } from '../../adapters/onnx/towers-process.ts'

const [folder, release] = process.argv.slice(2) as [string, string]
const towers = await startTowers(openFileModelStore({ folder }), release)
await towers.ready()
process.stdout.write(`${towers.pid}\n`)
setInterval(() => {}, 60_000)
