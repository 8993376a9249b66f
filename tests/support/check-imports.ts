/**
 * Imports go one way (docs/architecture.md): `npm run imports` fails on an import against the direction, on a cycle, and
 * when it saw no modules at all.
 */
import { cruise, type IForbiddenRuleType } from 'dependency-cruiser'
import extractTsConfig from 'dependency-cruiser/config-utl/extract-ts-config'

/** What a folder may import besides itself and packages. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  model: [],
  schemas: ['ports'],
  ports: ['schemas'],
  topics: ['schemas', 'ports'],
  runtime: ['schemas', 'topics', 'ports'],
  processors: ['schemas', 'topics', 'ports', 'runtime', 'model'],
  gateway: ['schemas', 'topics', 'ports', 'runtime', 'model'],
  trainer: ['schemas', 'topics', 'ports', 'runtime', 'model'],
  adapters: ['schemas', 'ports', 'model'],
  services: ['ports', 'adapters'],
}
/** Vendor SDKs are named in adapters, and in the trainer's backends. */
const vendors = [
  'lmdb',
  'usearch',
  'onnxruntime-node',
  '@huggingface/tokenizers',
  'kafkajs',
  '@kafkajs/confluent-schema-registry',
  'ioredis',
  'redis',
  'redis-om',
  'aws4fetch',
  'openai',
  'node-llama-cpp',
  '@tensorflow/[^/]+',
]

const folders = [...Object.keys(allowed), 'cli']
const rules: IForbiddenRuleType[] = [
  { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true, dependencyTypesNot: ['type-only'] } },
  {
    name: 'processors-are-apart',
    severity: 'error',
    from: { path: '^processors/([^/]+)/' },
    to: { path: '^processors/[^/]+/', pathNot: '^processors/$1/' },
  },
  {
    name: 'vendors-in-adapters',
    severity: 'error',
    from: { path: `^(${folders.join('|')})/`, pathNot: '^(adapters|tests|trainer/graph|trainer/tfjs)/' },
    to: { path: `node_modules/(${vendors.join('|')})/` },
  },
  ...Object.entries(allowed).map(
    ([folder, targets]): IForbiddenRuleType => ({
      name: `from-${folder}`,
      severity: 'error',
      from: { path: `^${folder}/` },
      to: {
        path: `^(${[...folders, 'tests'].filter((name) => name !== folder && !targets.includes(name)).join('|')})/`,
      },
    }),
  ),
]

const result = await cruise(
  folders,
  { ruleSet: { forbidden: rules }, validate: true, tsPreCompilationDeps: true, doNotFollow: { path: 'node_modules' } },
  { extensions: ['.ts', '.js', '.json'] },
  { tsConfig: extractTsConfig('tsconfig.json') },
)
if (typeof result.output === 'string') throw new Error(result.output)
const { modules, summary } = result.output
const seen = modules.filter(
  ({ source }) => source.endsWith('.ts') && folders.some((folder) => source.startsWith(`${folder}/`)),
)
const imports = seen.reduce((sum, { dependencies }) => sum + dependencies.length, 0)
for (const { from, to, rule, cycle } of summary.violations) {
  const way = cycle === undefined ? to : cycle.map(({ name }) => name).join(' → ')
  process.stderr.write(`${rule.name}: ${from} → ${way}\n`)
}
if (seen.length < 50 || imports < seen.length) {
  process.stderr.write(`Only ${seen.length} modules with ${imports} imports were seen: the check is blind\n`)
  process.exitCode = 1
} else if (summary.violations.length > 0) process.exitCode = 1
else process.stdout.write(`${seen.length} modules, ${imports} imports, all in the right direction\n`)
