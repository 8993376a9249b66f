/** `cuestream evaluate captions`: captions as people bring them, writers that fall back, and the command as a user types it. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { captionRows } from '../../../cli/evaluate/caption-rows.ts'
import { type CaptionWriter, writeAll } from '../../../cli/evaluate/caption-writers.ts'
import { evaluateWriters } from '../../../cli/evaluate/captions.ts'
import { pythonStrings } from '../../../cli/evaluate/python-list.ts'
import { InvalidRequestError, SetupError } from '../../../ports/errors.ts'
import type { Tag } from '../../../schemas/types.ts'
import { type LlmEndpoint, startLlmEndpoint } from '../../support/llm-endpoint.ts'
import { runCommand } from '../../support/product-process.ts'
import { standInProfile } from '../../support/stand-in-profile.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const folder = temporaryFolder()
const dataFolder = join(folder, 'data')

/** Twelve rows with tags, one whose words are no tag, one that is no list, one that lacks a column. */
const CSV = `ytid,aspect_list,caption
a1,"['rock', 'electric guitar', 'drums', 'energetic']","An energetic rock song with electric guitar and drums."
a2,"['piano', 'sad', 'slow']","A sad and slow piano piece."
a3,"['jazz', 'saxophone', 'relaxing']","Relaxing jazz with a saxophone, and a piano behind it."
a4,"['electronic', 'dance', 'exciting']","Electronic dance music
with a loud synth."
a5,"['folk', 'acoustic guitar', ""people's voices"", 'male vocal']","A man sings over an acoustic guitar."
a6,"['classical', 'strings', 'violin', 'dramatic']","Dramatic strings, a violin above them."
a7,"['hip hop', 'male vocals', 'bass']","Hip hop with a deep bass and a rapper."
a8,"['ambient', 'calm']","Something calm, ambient and ""floating""."
a9,"['blues', 'harmonica', 'guitar']","Blues with guitar and harmonica."
b1,"['pop', 'female vocals', 'happy']","A happy pop song sung by a woman."
b2,"['rock', 'angry', 'drums']","Angry rock drums."
b3,"['country', 'banjo', 'happy']","Happy country music with a banjo."
c1,"['low quality', 'youtube']","Recorded with a phone."
c2,"rock, pop","No list."
c3,"['rock']"
`
const captions = join(folder, 'captions.csv')
writeFileSync(captions, CSV)

describe('lists of Python', () => {
  test('strings of both quotes, with what is escaped in them', () => {
    const cases: [string, string[]][] = [
      ['[]', []],
      [" [ 'a' , \"it's\", ] ", ['a', "it's"]],
      [
        String.raw`['say \'no\'', "a \"b\"", 'c\\', 'caf\xe9', '\u266b', '\U0001f3b8', 'a\tb', '\q']`,
        ["say 'no'", 'a "b"', 'c\\', 'café', '♫', '🎸', 'a\tb', '\\q'],
      ],
      ['["json", "caf\\u00e9"]', ['json', 'café']],
      ["['a, b', '[c]', 'd]']", ['a, b', '[c]', 'd]']],
    ]
    for (const [text, strings] of cases) assert.deepEqual(pythonStrings(text), { strings }, text)
  })

  test('what is no list of strings is told with its place, and never run', () => {
    const cases: [string, RegExp][] = [
      ['', /^\[ is expected at character 1, not the end$/],
      ["'a'", /^\[ is expected/],
      ["['a' 'b']", /^, or \] is expected at character 6/],
      ["['a', 1]", /^a string is expected at character 7, not "1"/],
      ["['a', None]", /^a string is expected/],
      ["['a", /^the string that begins at character 2 does not end/],
      [String.raw`['\x4']`, /unknown escape/],
      [String.raw`['\UFFFFFFFF']`, /unknown escape/],
      ["['a'] + __import__('os')", /^the end is expected at character 7/],
      ["['a', ['b']]", /^a string is expected/],
    ]
    for (const [text, wrong] of cases) {
      const found = pythonStrings(text)
      assert.ok('wrong' in found && wrong.test(found.wrong), `${text}: ${JSON.stringify(found)}`)
    }
  })
})

describe('captions in CSV', () => {
  test('a bad row is told with its line, and the others are read', () => {
    const { rows, bad } = captionRows(CSV)
    assert.equal(rows.length, 13)
    assert.deepEqual(rows[4]!.aspects, ['folk', 'acoustic guitar', "people's voices", 'male vocal'])
    assert.equal(rows[3]!.caption, 'Electronic dance music\nwith a loud synth.')
    assert.equal(rows[7]!.caption, 'Something calm, ambient and "floating".')
    assert.deepEqual(
      bad.map(({ line, reason }) => [line, reason.split(' ', 2).join(' ')]),
      [
        [16, 'aspect_list: ['],
        [17, 'Invalid Record'],
      ],
    )
  })

  test('tags may stand in a column of their own, and rows without a name go by their line', () => {
    const { rows, bad } = captionRows('caption,tags\r\nA song.,"rock, , sad "\r\n,rock\r\nAnother.,pop\r\n')
    assert.deepEqual(rows, [
      { id: 'line 2', caption: 'A song.', aspects: ['rock', 'sad'] },
      { id: 'line 4', caption: 'Another.', aspects: ['pop'] },
    ])
    assert.deepEqual(bad, [{ line: 3, reason: 'caption is empty' }])
  })

  test('rows of one name stay apart', () => {
    const { rows } = captionRows('id,caption,tags\nx,One.,rock\nx,Two.,pop\n')
    assert.deepEqual(
      rows.map(({ id }) => id),
      ['x', 'x, line 3'],
    )
  })

  test('a file without the columns is refused', () => {
    for (const text of ['', 'caption\nA song.\n', 'tags,text\nrock,A song.\n']) {
      assert.throws(() => captionRows(text), InvalidRequestError, JSON.stringify(text))
    }
  })
})

describe('writers', () => {
  const { textEncoder } = standInProfile
  const SAYS: Readonly<Record<string, (tag: string) => string>> = {
    genre: (tag) => `It is ${tag} music.`,
    mood: (tag) => `It feels ${tag}.`,
  }
  const sentences = (tags: readonly Tag[]) =>
    tags.map(({ category, tag }) => SAYS[category]?.(tag) ?? `It has ${tag}.`).join(' ')
  /** Of every three, one passes at once, one at the second try, one never does; and nobody answers for the last. */
  const writer: CaptionWriter = {
    method: 'prompt2text',
    atATime: 4,
    async describe(id, tags) {
      const number = ['a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7', 'a8', 'a9', 'b1', 'b2', 'b3'].indexOf(id)
      const usage = { inputTokens: 100, outputTokens: 10, usd: 0.001, cached: number === 0 }
      const right = sentences(tags)
      const wrong = `${right} There is a choir and an accordion.`
      const byRules = { text: right, method: 'data2text', generator: 'rules' }
      if (id === 'b3') return { ...byRules, fallback: { code: 'llm-away', faults: [] }, usage }
      if (number % 3 === 0) return { text: right, method: 'prompt2text', generator: 'model', usage }
      if (number % 3 === 1)
        return { text: right, method: 'prompt2text', generator: 'model', rejected: [{ text: wrong }], usage }
      const fallback = { code: 'checks-failed', faults: ['invented'] }
      return { ...byRules, rejected: [{ text: wrong }, { text: wrong }], fallback, usage }
    },
  }
  const evaluated = { read: captionRows(CSV), writers: [writer], notes: [], examples: [], textEncoder }

  test('what the model wrote first and what left are measured apart, with cost and fallbacks', async () => {
    const out = join(folder, 'own-writer')
    const measured = await evaluateWriters(evaluated, { captions, pool: [5], seed: 1, out })
    assert.deepEqual(
      measured.rows.map(({ set, diversity }) => [set.id, diversity.texts]),
      [
        ['people', 12],
        ['prompt2text-first', 11],
        ['prompt2text', 12],
      ],
    )
    const [, first, final] = measured.rows
    assert.equal(first!.fidelity.noInvention!.value, 4 / 11)
    assert.equal(final!.fidelity.noInvention!.value, 1)
    assert.equal(final!.fidelity.recall!.value, 1)
    assert.deepEqual(final!.fallbacks, {
      count: 4,
      codes: [
        ['checks-failed', 3],
        ['llm-away', 1],
      ],
      faults: [['invented', 3]],
    })
    const { seconds: _, ...cost } = final!.set.cost!
    assert.deepEqual(
      { ...cost, usd: cost.usd.toFixed(6) },
      { atATime: 4, inputTokens: 1_200, outputTokens: 120, usd: '0.012000', cached: 1 },
    )
    const lines = readFileSync(join(out, 'texts.jsonl'), 'utf8').trimEnd().split('\n')
    const third = JSON.parse(lines[2]!)
    assert.deepEqual([lines.length, third.id, third.methods.prompt2text.fallback.code], [12, 'a3', 'checks-failed'])
    assert.match(third.methods['prompt2text-first'].text, /choir/)
    assert.match(third.human.text, /^Relaxing jazz/)
    assert.equal(JSON.parse(lines[11]!).methods['prompt2text-first'], null)
    assert.match(readFileSync(join(out, 'report.html'), 'utf8'), /<mark class="invented">choir<\/mark>/)
  })

  test("people's own words are no invention where their aspects say them, though no tag does", async () => {
    const read = captionRows('caption,tags\nRock with a bass and a choir.,"rock, bass"\n')
    const out = join(folder, 'own-words')
    const { rows } = await evaluateWriters({ ...evaluated, read, writers: [] }, { captions, pool: [5], seed: 1, out })
    assert.deepEqual(rows[0]!.set.texts[0]!.invented, ['choir'])
    assert.deepEqual(rows[0]!.faults, [['invented-voice', 1]])
  })

  test('a part of the rows is drawn by the seed, and examples among the captions are told', async () => {
    const examples = ['Angry rock drums.', 'A text that nobody asks about.']
    const ids = async (seed: number, limit: number) => {
      const out = join(folder, `drawn-${seed}`)
      const { tracks } = await evaluateWriters({ ...evaluated, examples }, { captions, pool: [5], seed, limit, out })
      return tracks.map(({ id }) => id)
    }
    const some = await ids(1, 6)
    assert.equal(some.length, 6)
    assert.deepEqual(some, some.toSorted())
    assert.deepEqual(await ids(1, 6), some)
    assert.notDeepEqual(await ids(2, 6), some)
    await ids(3, 12)
    const { about } = JSON.parse(readFileSync(join(folder, 'drawn-3', 'report.json'), 'utf8'))
    assert.match(about.join('\n'), /1 of the captions are among the examples/)
  })

  test('no more than it allows are asked of a writer at a time, and the first failure stops the others', async () => {
    let [now, most, asked] = [0, 0, 0]
    const aborted: boolean[] = []
    const failing: CaptionWriter = {
      ...writer,
      atATime: 3,
      async describe(id, _tags, signal) {
        asked++
        most = Math.max(most, ++now)
        await new Promise((resolve) => setImmediate(resolve))
        now--
        if (id === '7') throw new SetupError('no-generator', 'it is gone')
        signal.addEventListener('abort', () => aborted.push(true))
        return { text: id, method: 'prompt2text', generator: 'model' }
      },
    }
    const rows = Array.from({ length: 40 }, (_, i) => ({ id: String(i), tags: [] }))
    await assert.rejects(
      writeAll(failing, rows, () => {}),
      { code: 'no-generator' },
    )
    assert.equal(most, 3)
    assert.ok(asked < 15, `${asked} were asked`)
    assert.ok(aborted.length > 0)
  })

  test('rows without a tag of the vocabulary cannot be measured', async () => {
    const read = captionRows('caption,tags\nA song.,youtube\n')
    const options = { captions, pool: [5], seed: 1, out: join(folder, 'none') }
    await assert.rejects(evaluateWriters({ ...evaluated, read }, options), { code: 'no-captions' })
  })
})

describe('evaluate captions', () => {
  const out = join(folder, 'out')
  const command = ['evaluate', 'captions', '--captions', captions, '--out', out]

  test('one command writes texts by tags and data2text, prints the tables, and leaves report and texts', async () => {
    const { code, stdout, stderr } = await runCommand(dataFolder, [
      ...command,
      ...['--methods', 'data2text,tags', '--pool', '5,500'],
    ])
    assert.equal(code, 0, stderr)
    assert.match(stdout, /^\| people \| 12 \| [\d.]+ \([\d.]+–[\d.]+\) \|/m)
    // Neither rule says a tag that was not given; what is read back of those that were is nearly all.
    for (const method of ['tags', 'data2text']) {
      assert.match(
        stdout,
        new RegExp(`^\\| ${method} \\| 12 \\| 100\\.0 \\(100\\.0–100\\.0\\) \\| (9\\d|100)\\.\\d \\(`, 'm'),
      )
    }
    assert.match(stdout, /### The right caption among N = 5\n/)
    assert.match(stdout, /Pools of 500 are larger than the 12 captions and were left out/)
    assert.match(stdout, /Not read: line 16: aspect_list: \[ is expected at character 1, not "r"/)
    assert.match(stdout, /1 rows without a tag of the vocabulary and 2 that cannot be read were left out/)
    const report = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8'))
    assert.deepEqual(
      report.rows.map(({ id }: { id: string }) => id),
      ['people', 'tags', 'data2text'],
    )
    assert.match(readFileSync(join(out, 'report.html'), 'utf8'), /<h3>a1<\/h3>/)
    assert.match(readFileSync(join(out, 'report.md'), 'utf8'), /^12 captions of people in /)
    const [first] = readFileSync(join(out, 'texts.jsonl'), 'utf8').split('\n')
    assert.deepEqual(Object.keys(JSON.parse(first!).methods), ['tags', 'data2text'])
  })

  test('without an endpoint prompt2text is left out, and said so', async () => {
    const { code, stdout, stderr } = await runCommand(dataFolder, [...command, '--limit', '4'])
    assert.equal(code, 0, stderr)
    assert.match(stdout, /prompt2text was left out: the configuration names no endpoint/)
    assert.match(stdout, /^4 captions of people in .*, drawn from 12 by seed 1/m)
    assert.doesNotMatch(stdout, /^\| prompt2text/m)
  })

  test('what cannot be is refused with its code', async () => {
    const empty = join(folder, 'empty.csv')
    writeFileSync(empty, 'caption,tags\n')
    mkdirSync(join(folder, 'a folder'))
    const wrong: [path: string, code: string][] = [
      [join(folder, 'nowhere.csv'), 'no-file'],
      [join(folder, 'a folder'), 'no-file'],
      [empty, 'bad-captions'],
    ]
    for (const [path, expected] of wrong) {
      const { code, stderr } = await runCommand(dataFolder, ['evaluate', 'captions', '--captions', path])
      assert.deepEqual([code, stderr.split(':')[0]], [2, expected], stderr)
      assert.doesNotMatch(stderr, /\n {4}at /)
    }
    const { code, stderr } = await runCommand(dataFolder, [...command, '--methods', 'tags,poetry'])
    assert.deepEqual([code, /there are the methods tags, data2text, prompt2text/.test(stderr)], [2, true], stderr)
  })

  describe('with an endpoint', () => {
    let endpoint: LlmEndpoint
    before(async () => {
      endpoint = await startLlmEndpoint()
      const write = endpoint.write
      endpoint.write = (tags, prompt) =>
        prompt.includes('harmonica') ? 'An accordion and a choir.' : write(tags, prompt)
    })
    after(() => endpoint.kill())

    test('texts of the model are measured before and after the checks, and not asked for again', async () => {
      const env = {
        CUESTREAM_LLM_URL: endpoint.url,
        CUESTREAM_LLM_MODEL: 'toy',
        CUESTREAM_LLM_USD_PER_MILLION_INPUT: '1',
        CUESTREAM_LLM_USD_PER_MILLION_OUTPUT: '2',
      }
      const args = [...command, '--methods', 'prompt2text', '--pool', '5']
      const { code, stdout, stderr } = await runCommand(dataFolder, args, env)
      assert.equal(code, 0, stderr)
      assert.match(stdout, /^\| prompt2text, unchecked \| 12 \|/m)
      assert.match(stdout, /^\| prompt2text \| 12 \| 100\.0 /m)
      const { rows } = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8'))
      const [, first, final] = rows
      assert.ok(first.fidelity.noInvention.value < 1)
      const lines = readFileSync(join(out, 'texts.jsonl'), 'utf8').split('\n')
      const { methods } = JSON.parse(lines.find((line) => line.startsWith('{"id":"a9"'))!)
      assert.equal(methods['prompt2text-first'].text, 'An accordion and a choir.')
      assert.deepEqual(methods.prompt2text.fallback.method, 'data2text')
      assert.ok(methods.prompt2text.fallback.faults.includes('invented-voice'))
      assert.ok(final.fallbacks.codes['checks-failed'] >= 1)
      assert.ok(final.cost.usd > 0 && final.cost.inputTokens > 1_000)
      const asked = endpoint.asked.length
      const again = await runCommand(dataFolder, args, env)
      assert.equal(again.code, 0, again.stderr)
      assert.equal(endpoint.asked.length, asked)
      const kept = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8')).rows[2].cost
      assert.deepEqual([kept.cached, kept.usd], [12, 0])
    })
  })
})
