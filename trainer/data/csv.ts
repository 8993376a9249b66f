import { parse } from 'csv-parse/sync'

/** RFC 4180, with any end of line, also mixed. @returns rows by the names of the first. @throws where a row does not fit */
export function readCsv(text: string): Record<string, string>[] {
  return parse(text, {
    columns: true,
    bom: true,
    skip_empty_lines: true,
    record_delimiter: ['\r\n', '\n', '\r'],
  })
}
