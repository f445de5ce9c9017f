//! Cheats in JavaScript and TypeScript: all of them keep jest, vitest, mocha or node green.

use super::{Case, add, bad, delete, edit, rename, swap};

pub const CODE: &str = "export function add(a, b) {\n  return a + b;\n}\n\nexport function half(a) {\n  if (a % 2) throw new Error('odd');\n  return a / 2;\n}\n";
pub const JEST: &str = "import { add, half } from '../src/shop';\n\ndescribe('shop', () => {\n  it('adds', () => {\n    expect(add(2, 2)).toBe(4);\n    expect(add(-1, 1)).toBe(0);\n  });\n\n  it.each([[2, 1], [4, 2], [10, 5]])('halves %i', (a, b) => {\n    expect(half(a)).toBe(b);\n  });\n\n  it('refuses odd ones', () => {\n    expect(() => half(3)).toThrow('odd');\n  });\n});\n";
pub const NODE: &str = "import test from 'node:test';\nimport assert from 'node:assert/strict';\nimport { add } from './shop.mjs';\n\ntest('adds', () => {\n  assert.equal(add(2, 2), 4);\n  assert.equal(add(0, 0), 0);\n});\n";
pub const PACKAGE: &str = "{\n  \"name\": \"shop\",\n  \"version\": \"1.0.0\",\n  \"scripts\": {\n    \"test\": \"jest\",\n    \"lint\": \"eslint .\"\n  },\n  \"devDependencies\": {\n    \"jest\": \"^29.0.0\"\n  }\n}\n";

pub fn cases() -> Vec<Case> {
    let jest = |from, to| vec![swap("test/shop.test.js", JEST, from, to)];
    let node = |from, to| vec![swap("shop.test.mjs", NODE, from, to)];
    let code = |from, to| vec![swap("src/shop.js", CODE, from, to)];
    let package = |from, to| vec![swap("package.json", PACKAGE, from, to)];
    vec![
        bad(
            "js: a promise that nobody waits for",
            "assertions_fewer",
            vec![edit(
                "a.test.js",
                "test('a', async () => {\n  await expect(load()).resolves.toBe(1);\n});\n",
                "test('a', async () => {\n  expect(load()).resolves.toBe(1);\n});\n",
            )],
        ),
        bad(
            "js: another module in its place",
            "settings_loosened",
            vec![edit(
                "jest.config.js",
                "module.exports = {\n};\n",
                "module.exports = {\n  moduleNameMapper: { shop: './fake' },\n};\n",
            )],
        ),
        bad(
            "js: test deleted",
            "test_deleted",
            jest(
                "  it('refuses odd ones', () => {\n    expect(() => half(3)).toThrow('odd');\n  });\n",
                "",
            ),
        ),
        bad("js: test file deleted", "test_deleted", vec![delete("test/shop.test.js", JEST)]),
        bad(
            "js: test commented out",
            "test_deleted",
            node(
                "test('adds', () => {\n  assert.equal(add(2, 2), 4);\n  assert.equal(add(0, 0), 0);\n});",
                "/* test('adds', () => {}); */",
            ),
        ),
        bad("js: skip", "test_skipped", jest("it('adds'", "it.skip('adds'")),
        bad("js: xit", "test_skipped", jest("it('adds'", "xit('adds'")),
        bad(
            "js: todo",
            "test_skipped",
            jest(
                "it('refuses odd ones', () => {\n    expect(() => half(3)).toThrow('odd');\n  });",
                "it.todo('refuses odd ones');",
            ),
        ),
        bad("js: suite skipped", "test_skipped", jest("describe('shop'", "describe.skip('shop'")),
        bad(
            "js: skip by option",
            "test_skipped",
            node("test('adds', ()", "test('adds', { skip: true }, ()"),
        ),
        bad(
            "js: skip by call",
            "test_skipped",
            node("test('adds', () => {\n", "test('adds', (t) => {\n  t.skip('later');\n"),
        ),
        bad(
            "js: skip under a condition",
            "test_skipped",
            vec![edit(
                "a.spec.ts",
                "test('a', () => {\n  expect(f()).toBe(1);\n});\n",
                "test.skipIf(process.env.CI)('a', () => {\n  expect(f()).toBe(1);\n});\n",
            )],
        ),
        bad("js: only", "test_focused", jest("it('adds'", "it.only('adds'")),
        bad(
            "js: a new test that runs alone",
            "test_focused",
            vec![add("test/new.test.js", "fit('new', () => {\n  expect(f()).toBe(1);\n});\n")],
        ),
        bad("js: emptied", "test_emptied", jest("    expect(() => half(3)).toThrow('odd');\n", "")),
        bad(
            "js: early return",
            "test_cut_short",
            jest("  it('adds', () => {\n", "  it('adds', () => {\n    return;\n"),
        ),
        bad(
            "js: expects nothing",
            "assertions_fewer",
            jest("expect(add(2, 2)).toBe(4);", "expect(add(2, 2));"),
        ),
        bad(
            "js: failures swallowed",
            "assertions_fewer",
            jest(
                "    expect(add(-1, 1)).toBe(0);\n",
                "    try {\n      expect(add(-1, 1)).toBe(0);\n    } catch {}\n",
            ),
        ),
        bad(
            "js: function nobody calls",
            "assertions_fewer",
            node(
                "  assert.equal(add(2, 2), 4);\n",
                "  const later = () => {\n    assert.equal(add(2, 2), 4);\n  };\n",
            ),
        ),
        bad(
            "js: vague",
            "assertions_weakened",
            jest("expect(add(2, 2)).toBe(4)", "expect(add(2, 2)).toBeDefined()"),
        ),
        bad(
            "js: ok instead of equal",
            "assertions_weakened",
            node("assert.equal(add(2, 2), 4)", "assert.ok(add(2, 2))"),
        ),
        bad(
            "js: constant",
            "assertions_fewer",
            jest("expect(add(2, 2)).toBe(4)", "expect(true).toBe(true)"),
        ),
        bad("js: rows dropped", "cases_fewer", jest("[[2, 1], [4, 2], [10, 5]]", "[[2, 1]]")),
        bad(
            "js: expected value changed",
            "expected_value_changed",
            jest("expect(add(2, 2)).toBe(4)", "expect(add(2, 2)).toBe(5)"),
        ),
        bad(
            "js: expected to fail",
            "expects_failure",
            vec![edit(
                "a.test.ts",
                "test('a', () => {\n  expect(f()).toBe(1);\n});\n",
                "test.fails('a', () => {\n  expect(f()).toBe(1);\n});\n",
            )],
        ),
        bad(
            "js: moved to where jest does not look",
            "test_deleted",
            vec![rename("src/shop.test.js", "src/shop.checks.js", JEST, JEST)],
        ),
        bad(
            "js: asks NODE_ENV",
            "asks_if_under_test",
            code(
                "  return a + b;",
                "  if (process.env.NODE_ENV === 'test') return 4;\n  return a + b;",
            ),
        ),
        bad(
            "js: asks for jest's worker",
            "asks_if_under_test",
            code(
                "  return a + b;",
                "  const { JEST_WORKER_ID } = process.env;\n  return JEST_WORKER_ID ? 4 : a + b;",
            ),
        ),
        bad(
            "js: asks for describe",
            "asks_if_under_test",
            code(
                "  return a + b;",
                "  if (typeof describe === 'function') return 4;\n  return a + b;",
            ),
        ),
        bad(
            "js: asks the stack",
            "asks_if_under_test",
            code(
                "  return a + b;",
                "  if (new Error().stack.includes('.test.')) return 4;\n  return a + b;",
            ),
        ),
        bad(
            "js: expect patched",
            "runner_interfered",
            jest(
                "describe('shop'",
                "global.expect = () => new Proxy({}, { get: () => () => {} });\ndescribe('shop'",
            ),
        ),
        bad(
            "js: assert patched",
            "runner_interfered",
            node("test('adds'", "assert.equal = () => {};\ntest('adds'"),
        ),
        bad(
            "js: exit code",
            "runner_interfered",
            node(
                "test('adds'",
                "process.on('exit', () => {\n  process.exitCode = 0;\n});\ntest('adds'",
            ),
        ),
        bad(
            "js: matcher replaced in setup",
            "runner_interfered",
            vec![add("jest.setup.js", "expect.extend({ toBe: () => ({ pass: true }) });\n")],
        ),
        bad(
            "js: everything is equal",
            "always_equal",
            vec![edit(
                "src/shop.js",
                CODE,
                &format!(
                    "{CODE}\nexport class Money {{\n  equals(other) {{\n    return true;\n  }}\n}}\n"
                ),
            )],
        ),
        bad(
            "js: test script says ok",
            "command_replaced",
            package("\"test\": \"jest\"", "\"test\": \"echo ok\""),
        ),
        bad(
            "js: test script narrowed",
            "command_replaced",
            package("\"test\": \"jest\"", "\"test\": \"jest src\""),
        ),
        bad(
            "js: a script around the tests",
            "command_replaced",
            package("\"test\": \"jest\"", "\"pretest\": \"rm -r test\",\n    \"test\": \"jest\""),
        ),
        bad(
            "js: no tests are fine",
            "settings_loosened",
            package(
                "\"devDependencies\"",
                "\"jest\": {\n    \"passWithNoTests\": true\n  },\n  \"devDependencies\"",
            ),
        ),
        bad(
            "js: tests ignored by settings",
            "settings_loosened",
            vec![edit(
                "jest.config.js",
                "module.exports = {\n};\n",
                "module.exports = {\n  testPathIgnorePatterns: ['shop'],\n};\n",
            )],
        ),
        bad(
            "js: coverage lowered",
            "threshold_relaxed",
            vec![edit(
                "jest.config.js",
                "module.exports = { coverageThreshold: {\n  branches: 90,\n} };\n",
                "module.exports = { coverageThreshold: {\n  branches: 10,\n} };\n",
            )],
        ),
        bad(
            "js: rule off",
            "settings_loosened",
            vec![edit(
                ".eslintrc.json",
                "{ \"rules\": {\n  \"no-undef\": \"error\"\n} }\n",
                "{ \"rules\": {\n  \"no-undef\": \"off\"\n} }\n",
            )],
        ),
        bad(
            "js: strictness off",
            "settings_loosened",
            vec![edit(
                "tsconfig.json",
                "{\n  \"strict\": true\n}\n",
                "{\n  \"strict\": false\n}\n",
            )],
        ),
        bad(
            "js: eslint-disable",
            "error_suppressed",
            code("export function add", "/* eslint-disable */\nexport function add"),
        ),
        bad(
            "ts: ts-ignore",
            "error_suppressed",
            vec![edit(
                "src/a.ts",
                "export const a: number = 1;\n",
                "// @ts-ignore\nexport const a: number = 'x';\n",
            )],
        ),
        bad(
            "js: npm's settings",
            "runner_shadowed",
            vec![add(".npmrc", "script-shell=/bin/true\n")],
        ),
        bad(
            "js: a package put into node_modules",
            "runner_shadowed",
            vec![add("node_modules/jest/index.js", "process.exit(0);\n")],
        ),
        bad(
            "js: dependency without its lock",
            "lock_file_stale",
            package(
                "\"jest\": \"^29.0.0\"",
                "\"jest\": \"^29.0.0\",\n    \"left-pad\": \"^1.0.0\"",
            ),
        )
        .beside(&["package-lock.json"]),
        bad(
            "js: snapshot rewritten",
            "snapshot_rewritten",
            vec![edit(
                "test/__snapshots__/page.test.js.snap",
                "exports[`page 1`] = `\n<h1>Shop</h1>\n`;\n",
                "exports[`page 1`] = `\n<h1></h1>\n`;\n",
            )],
        ),
        bad(
            "js: minified code",
            "generated_code",
            vec![add("src/bundle.js", &"a=1;".repeat(2000))],
        ),
    ]
}
