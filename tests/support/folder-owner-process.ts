/** A child process that takes a data folder and keeps it until it is killed. Its first line says how it went. */
import { acquireFolder } from '../../adapters/embedded/folder-lock.ts'

try {
  const hold = await acquireFolder(process.argv[2]!)
  await hold.announceUrl('http://localhost:1234')
  process.stdout.write('held\n')
  process.stdin.resume()
  process.stdin.once('end', () => process.exit(0))
} catch (error) {
  process.stdout.write(`${(error as Error).message}\n`)
}
