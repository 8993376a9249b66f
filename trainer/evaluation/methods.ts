/**
 * What the paper's tables compare (McKee et al. 2023, tables 1 to 5), on any pairs: the models that are trained, the ways
 * to rank with them, and the tables that these stand in. Every trained model differs from the recipe in what is said here
 * and in nothing else.
 */
import type { TrainConfig } from '../train-config.ts'
import type { RidgeCcaQuery } from './ridge-cca.ts'
import type { Run } from './runs.ts'
import type { Ask } from './tower-vectors.ts'

/** Vectors of one model, asked in one way. */
export interface Part {
  readonly model: ModelName
  readonly ask: Ask
}

/** A way to rank: by one model's scores, or by (1 − a) · first + a · second. */
export interface Method {
  readonly id: string
  readonly label: string
  readonly parts: readonly [Part] | readonly [Part, Part]
  /** Of two parts: a number, or tuned on the validation pairs. */
  readonly a?: number | 'tuned'
}

export interface Table {
  readonly id: TableId
  readonly title: string
  readonly methods: readonly Method[]
}

export const TABLE_IDS = ['main', 'dropout', 'fusion', 'temperature', 'ensembles'] as const
export type TableId = (typeof TABLE_IDS)[number]

type Change = Partial<Pick<TrainConfig, 'query' | 'fusion' | 'textDropout' | 'temperature'>>

/** p, of the dropout table: each asked in both ways. */
export const DROPOUTS = [0, 0.5, 0.8, 0.95, 1] as const
const FUSIONS = ['add', 'linear', 'mlp', 'transformer-1', 'transformer-2'] as const

/** The recipe with p = 0.8 is ViML; the others change one thing of it. */
const TRAINED = {
  viml: {},
  /** ViML once more from another seed: what an ensemble of two models gives anyway. */
  'viml again': {},
  'mvpt+': { query: 'video' },
  /** Asked with words alone, it never does without. */
  mt: { query: 'text', textDropout: 0 },
  'p = 0': { textDropout: 0 },
  'p = 0.5': { textDropout: 0.5 },
  'p = 0.95': { textDropout: 0.95 },
  'p = 1': { textDropout: 1 },
  'fusion add': { fusion: 'add' },
  'fusion linear': { fusion: 'linear' },
  'fusion mlp': { fusion: 'mlp' },
  'fusion transformer-1': { fusion: 'transformer-1' },
  'fusion transformer-2': { fusion: 'transformer-2' },
  'τ = 0.03': { temperature: 0.03 },
  'τ = 0.07': { temperature: 0.07 },
  'τ learned': { temperature: 'learned' },
} as const satisfies Record<string, Change>

const FITTED = { 'cca video': 'video', 'cca video + words': 'video+words' } as const satisfies Record<
  string,
  RidgeCcaQuery
>

export type ModelName = keyof typeof TRAINED | keyof typeof FITTED

/** Text dropout of ViML where nothing else is said (the paper's best range is 0.8 to 0.95). */
const VIML: Change = { query: 'video+text', textDropout: 0.8 }

/** Seeds of `viml again` begin where those of the others cannot be. */
const SEEDS_APART = 1_000

/** @param seed of training, from 0; the linear baseline has none. @returns equal runs for models that are the same. */
export function runOf(model: ModelName, recipe: TrainConfig, seed: number): Run {
  if (model in FITTED) return { kind: 'ridge-cca', query: FITTED[model as keyof typeof FITTED] }
  const change: Change = TRAINED[model as keyof typeof TRAINED]
  const apart = model === 'viml again' ? SEEDS_APART : 0
  return { kind: 'model', config: { ...recipe, ...VIML, ...change, seed: recipe.seed + apart + seed } }
}

const VIML_ROW = single('viml', 'video+text', 'ViML, video + words')
const MVPT_ROW = single('mvpt+', 'video', 'MVPt+, video')

/** The row that all others are set against. @param worded whether the pairs have words. */
export function referenceOf(worded: boolean): Method {
  return worded ? VIML_ROW : MVPT_ROW
}

/** @param worded where pairs have no words, models that take some are left out. */
export function tablesOf(wanted: readonly TableId[], worded: boolean): Table[] {
  const tables: Record<TableId, { title: string; methods: readonly Method[] }> = {
    main: {
      title: 'Models',
      methods: [
        single('cca video', 'video', 'ridge CCA, video'),
        single('cca video + words', 'video+text', 'ridge CCA, video + words'),
        MVPT_ROW,
        single('mt', 'text', 'MT, words alone'),
        single('viml', 'video', 'ViML, video alone'),
        VIML_ROW,
      ],
    },
    dropout: { title: 'Text dropout', methods: DROPOUTS.flatMap(dropoutMethods) },
    fusion: { title: 'Fusion', methods: FUSIONS.flatMap((fusion) => bothAsks(`fusion ${fusion}`, fusion)) },
    temperature: {
      title: 'Temperature',
      methods: [
        ...bothAsks('τ = 0.03', 'τ = 0.03'),
        ...bothAsks('τ = 0.07', 'τ = 0.07'),
        ...bothAsks('τ learned', 'τ learned'),
      ],
    },
    ensembles: {
      title: 'Ensembles',
      methods: [
        ensemble('MT & MVPt+', { model: 'mvpt+', ask: 'video' }, { model: 'mt', ask: 'text' }),
        ensemble('ViML & MVPt+', { model: 'viml', ask: 'video+text' }, { model: 'mvpt+', ask: 'video' }),
        ensemble('ViML & MT', { model: 'viml', ask: 'video+text' }, { model: 'mt', ask: 'text' }),
        ensemble(
          'control: ViML & ViML of another seed',
          { model: 'viml', ask: 'video+text' },
          { model: 'viml again', ask: 'video+text' },
          0.5,
        ),
      ],
    },
  }
  const askable = ({ parts }: Method) => worded || parts.every(({ model }) => WORDLESS.includes(model))
  return wanted
    .map((id) => ({ id, title: tables[id].title, methods: tables[id].methods.filter(askable) }))
    .filter(({ methods }) => methods.length > 0)
}

/** Models that take no words. */
const WORDLESS: readonly ModelName[] = ['cca video', 'mvpt+']

/** @returns each once. */
export function modelsOf(methods: readonly Method[]): ModelName[] {
  return [...new Set(methods.flatMap(({ parts }) => parts.map(({ model }) => model)))]
}

/** @returns without words, and with them. */
export function dropoutMethods(p: (typeof DROPOUTS)[number]): [Method, Method] {
  return bothAsks(p === 0.8 ? 'viml' : `p = ${p}`, `p = ${p}`)
}

function single(model: ModelName, ask: Ask, label: string): Method {
  return { id: `${model}, ${ask}`, label, parts: [{ model, ask }] }
}

function bothAsks(model: ModelName, label: string): [Method, Method] {
  return [single(model, 'video', `${label}, video alone`), single(model, 'video+text', `${label}, video + words`)]
}

function ensemble(label: string, first: Part, second: Part, a: number | 'tuned' = 'tuned'): Method {
  return { id: label, label, parts: [first, second], a }
}
