/** Holds `sleep`, prints its process id and waits to be killed. */
import { holdProcess } from '../../services/held-process.ts'

const { pid } = await holdProcess('sleep', ['60'], { logFile: process.argv[2]! })
process.stdout.write(`${pid}\n`)
setInterval(() => {}, 60_000)
