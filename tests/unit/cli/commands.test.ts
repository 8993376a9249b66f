/** Commands as a user types them: exit codes and what is said when something is wrong. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { runCommand } from '../../support/product-process.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

describe('the command line', () => {
  const folder = temporaryFolder()
  const dataFolder = join(folder, 'not there yet')

  test('status of a folder that is not there says so and makes none', async () => {
    const { code, stdout } = await runCommand(dataFolder, ['status'])
    assert.equal(code, 0)
    assert.match(stdout, /Not running; there is nothing yet in .*not there yet/)
    assert.equal(existsSync(dataFolder), false)
  })

  test('a data folder that cannot be one is named, without a stack trace', async () => {
    const file = join(folder, 'file')
    writeFileSync(file, '')
    const { code, stderr } = await runCommand(file, ['up'])
    assert.equal(code, 2)
    assert.match(stderr, /^data-folder-unusable: The data folder .*file cannot be used: /)
    assert.doesNotMatch(stderr, /\n {4}at /)
  })

  test('ingesting a folder without media, or several files under one id, is refused before anything starts', async () => {
    const media = join(folder, 'media')
    mkdirSync(media)
    const none = await runCommand(dataFolder, ['ingest', media])
    assert.deepEqual([none.code, none.stderr.split(':')[0]], [2, 'no-media'])
    for (const name of ['a.opus', 'b.opus']) writeFileSync(join(media, name), name)
    const several = await runCommand(dataFolder, ['ingest', '--id', 'one', media])
    assert.deepEqual([several.code, several.stderr.split(':')[0]], [2, 'one-file-only'])
    assert.equal(existsSync(dataFolder), false)
  })

  test('wrong usage ends with 2 and points to the help, of commands below commands too', async () => {
    for (const args of [['bogus'], ['ingest'], ['models', 'pull'], ['recommend', '--limit', '0']]) {
      const { code, stderr } = await runCommand(dataFolder, args)
      assert.equal(code, 2, args.join(' '))
      assert.match(stderr, /^error: .*\n\(--help shows what is possible\)$/m, args.join(' '))
    }
    const help = await runCommand(dataFolder, ['models', 'pull', '--help'])
    assert.equal(help.code, 0)
    assert.match(help.stdout, /--data-folder/)
  })
})
