/**
 * Stand-ins for the files of the `paper` profile: graphs with the names and shapes of the real ones and simple, known
 * values, and a CLIP-like byte-pair tokenizer of a few words.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { GraphBuilder } from '../../model/onnx-writer.ts'
import { vocabulary } from '../../processors/analyse-music/vocabulary.ts'

const seeded = (length: number, scale: number) =>
  Float32Array.from({ length }, (_, index) => Math.sin(index * 12.9898 + 1) * scale)

/** image_embeds = the mean of each input plane, times a (3, 512) matrix. */
export function imageGraph(dims = 512): Uint8Array {
  const graph = new GraphBuilder('clip-image')
  const pixels = graph.input('pixel_values', ['batch', 3, 224, 224])
  const means = graph.node('ReduceMean', [pixels], { axes: [2, 3], keepdims: 0 }) // (batch, 3)
  const matrix = graph.initializer('w', [3, dims], seeded(3 * dims, 1))
  graph.output('image_embeds', graph.node('MatMul', [means, matrix]), ['batch', dims])
  return graph.toModel()
}

/** text_embeds = the mean of the tokens' embeddings by the sine of id × dimension. Fixed at 77 tokens, with no mask. */
export function textGraph(dims = 512): Uint8Array {
  const graph = new GraphBuilder('clip-text')
  const ids = graph.input('input_ids', ['batch', 77], 'int64')
  const table = graph.initializer('table', [64, dims], seeded(64 * dims, 1))
  const rows = graph.node('Gather', [table, ids]) // (batch, 77, dims)
  const weights = graph.initializer(
    'weights',
    [77, 1],
    Float32Array.from({ length: 77 }, (_, at) => 1 / (1 + at)),
  )
  const pooled = graph.node('ReduceSum', [graph.node('Mul', [rows, weights]), graph.ints([1])], { keepdims: 0 })
  graph.output('text_embeds', pooled, ['batch', dims])
  return graph.toModel()
}

/** embedding = mean and mean square of the samples, times a matrix; tags = its first 89 values as confidences. */
export function taggerGraph(): Uint8Array {
  const graph = new GraphBuilder('tagger')
  const pcm = graph.input('pcm', ['batch', 'samples'])
  const mean = graph.node('ReduceMean', [pcm], { axes: [1], keepdims: 1 })
  const power = graph.node('ReduceMean', [graph.node('Mul', [pcm, pcm])], { axes: [1], keepdims: 1 })
  const both = graph.node('Concat', [mean, power], { axis: 1 }) // (batch, 2)
  const embedding = graph.node('MatMul', [both, graph.initializer('w', [2, 256], seeded(512, 2))])
  graph.output('embedding', embedding, ['batch', 256])
  const first = graph.node('Slice', [embedding, graph.ints([0]), graph.ints([89]), graph.ints([1])])
  graph.output('tags', graph.node('Sigmoid', [first]), ['batch', 89])
  return graph.toModel()
}

/** As CLIP's tokenizer.json: lower case, byte-level pieces, `</w>` at the end of a word, start and end tokens. */
export function clipTokenizer(): object {
  const letters = ['a', 'c', 'l', 'm', 'u', 's', 'i', 'é']
  const bytes = ['Ã', '©'] // é in UTF-8, as byte-level pieces show it
  const pieces = [...letters.slice(0, 7), ...bytes, ...letters.slice(0, 7).map((letter) => `${letter}</w>`), '©</w>']
  const merges = ['c a', 'l m</w>', 'ca lm</w>', 'm u', 's i', 'mu si', 'musi c</w>']
  const vocabulary = [...pieces, 'ca', 'lm</w>', 'calm</w>', 'mu', 'si', 'musi', 'music</w>']
  vocabulary.push('<|startoftext|>', '<|endoftext|>')
  const id = (token: string) => vocabulary.indexOf(token)
  const special = (content: string) => ({
    id: id(content),
    content,
    special: true,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  })
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [special('<|startoftext|>'), special('<|endoftext|>')],
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'NFC' },
        { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
        { type: 'Lowercase' },
      ],
    },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        {
          type: 'Split',
          pattern: { Regex: "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+" },
          behavior: 'Removed',
          invert: true,
        },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
      ],
    },
    post_processor: {
      type: 'RobertaProcessing',
      sep: ['<|endoftext|>', id('<|endoftext|>')],
      cls: ['<|startoftext|>', id('<|startoftext|>')],
      trim_offsets: false,
      add_prefix_space: false,
    },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: '<|endoftext|>',
      continuing_subword_prefix: '',
      end_of_word_suffix: '</w>',
      fuse_unk: false,
      vocab: Object.fromEntries(vocabulary.map((token, index) => [token, index])),
      merges,
    },
  }
}

/** The 89 words of the paper's three categories, as a tagger's labels might be written. */
export const paperLabels: readonly string[] = vocabulary
  .filter(({ category }) => category !== 'vocals')
  .map(({ tag }) => `${tag[0]!.toUpperCase()}${tag.slice(1)}`.replaceAll(' ', '-'))

/** Writes the files that the `paper` profile names into `folder`. */
export async function writePaperFiles(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  const files: Record<string, Uint8Array | string> = {
    'vision_model.onnx': imageGraph(),
    'text_model.onnx': textGraph(),
    'tokenizer.json': JSON.stringify(clipTokenizer()),
    'tokenizer_config.json': JSON.stringify({ tokenizer_class: 'CLIPTokenizer', model_max_length: 77 }),
    'music_tagger.onnx': taggerGraph(),
    'music_labels.json': JSON.stringify(paperLabels),
  }
  for (const [name, content] of Object.entries(files)) await writeFile(path.join(folder, name), content)
}
