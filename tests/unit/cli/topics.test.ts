/** `cuestream topics plan` and `apply`, as a script meets them: what is printed, and the exit code. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { EmbeddedBroker } from '../../../adapters/embedded/broker.ts'
import { planText } from '../../../cli/plan-text.ts'
import { planTopics } from '../../../topics/plan.ts'
import { topics, uploadsReceived } from '../../../topics/topics.ts'
import { runCommand } from '../../support/product-process.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

describe('the topics at the command line', () => {
  test('a plan of what is missing ends with 2, applying it with 0, and a plan of what is the same with 0', async () => {
    const folder = temporaryFolder()
    const plan = await runCommand(folder, ['topics', 'plan'])
    assert.equal(plan.code, 2, plan.stderr)
    assert.match(plan.stdout, /^\+ create +uploads\.received\.v1 .*cleanup\.policy=compact/m)
    assert.match(plan.stdout, new RegExp(`Plan: ${2 * topics.length} to create, 0 to change, 0 refused, 0 impossible`))
    const apply = await runCommand(folder, ['topics', 'apply'])
    assert.equal(apply.code, 0, apply.stderr)
    assert.match(apply.stdout, /Done\.$/m)
    const again = await runCommand(folder, ['topics', 'plan'])
    assert.deepEqual([again.code, again.stdout], [0, 'The topics are as they should be.\n'])
  })

  test('what would lose records ends with 1 and says how it is allowed; allowed, it ends with 0', async () => {
    const dataFolder = temporaryFolder()
    const broker = await EmbeddedBroker.open({ dataFolder })
    await broker.ensureTopics([{ ...uploadsReceived, maxRecordBytes: 2 * uploadsReceived.maxRecordBytes }])
    const inUse = await runCommand(dataFolder, ['topics', 'plan'])
    assert.deepEqual([inUse.code, inUse.stderr.split(':')[0]], [1, 'data-folder-in-use'])
    await broker.close()
    const apply = await runCommand(dataFolder, ['topics', 'apply'])
    assert.equal(apply.code, 1, apply.stderr)
    assert.match(
      apply.stdout,
      /^! refused +uploads\.received\.v1 +max\.message\.bytes \d+ → \d+: .*--allow smaller-records/m,
    )
    const allowed = await runCommand(dataFolder, ['topics', 'apply', '--allow', 'smaller-records'])
    assert.equal(allowed.code, 0, allowed.stderr)
    assert.equal((await runCommand(dataFolder, ['topics', 'plan'])).code, 0)
  })

  test('times are told in the largest unit that fits, sizes as they are, and what is impossible with what to do', () => {
    const was = { name: 'a.made.v1', partitions: 4, replicationFactor: 1 }
    const found = { ...was, config: { 'retention.ms': '-1', 'segment.ms': '90000', 'max.message.bytes': '1' } }
    const config = { 'retention.ms': '604800000', 'segment.ms': '5400000', 'max.message.bytes': '2' }
    const text = planText(planTopics([{ ...was, partitions: 2, config }], [found], ['a.made.v0', 'others']))
    assert.match(text, /retention\.ms without limit → 7 d/)
    assert.match(text, /segment\.ms 90 s → 90 min/)
    assert.match(text, /max\.message\.bytes 1 → 2/)
    assert.match(text, /^x impossible +a\.made\.v1 +partitions 4 → 2: a topic never loses partitions/m)
    assert.match(text, /left alone: a\.made\.v0$/m)
    assert.match(text, /Plan: 0 to create, 2 to change, 1 refused, 1 impossible\./)
  })
})
