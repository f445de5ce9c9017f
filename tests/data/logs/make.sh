#!/bin/sh
# Makes the logs beside it with the real tools. TOOLS holds `py` (a venv with pytest, ruff, mypy and
# flake8) and `js` (a folder with jest, vitest, mocha, eslint and typescript installed); cargo, node,
# go, javac and Debian's junit4.jar come from the machine, Maven's plugins from Debian's packages
# (libsurefire-java, libmaven-compiler-plugin-java, libmaven-resources-plugin-java). What is not there
# is left out.
# Usage: TOOLS=/path sh make.sh
set -u
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

keep() { # name command...: runs it and keeps what it said
  name=$1
  shift
  "$@" >"$here/$name.log" 2>&1
  sed -i "s#$work/##g; s#$work##g" "$here/$name.log"
}

mkdir py && cd py || exit 1
cat >test_mixed.py <<'X'
import unittest
import pytest

def test_adds(): assert 1 + 1 == 2
def test_wrong(): assert 1 + 1 == 3
@pytest.mark.skip(reason="later")
def test_later(): assert False
@pytest.mark.xfail
def test_known(): assert False
@pytest.mark.parametrize("n", [1, 2])
def test_rows(n): assert n > 0
X
cat >skipped.py <<'X'
import pytest
@pytest.mark.skip(reason="later")
def test_a(): assert False
X
cat >unit_mixed.py <<'X'
import unittest
class T(unittest.TestCase):
    def test_adds(self): self.assertEqual(1 + 1, 2)
    def test_wrong(self): self.assertEqual(1 + 1, 3)
    def test_breaks(self): raise ValueError("x")
    @unittest.skip("later")
    def test_later(self): pass
    @unittest.expectedFailure
    def test_known(self): self.fail()
X
cat >unit_skipped.py <<'X'
import unittest
class T(unittest.TestCase):
    @unittest.skip("later")
    def test_later(self): pass
X
echo 'x = 1' >unit_none.py
cat >lint.py <<'X'
import os
def f(a: int) -> str:
    return a
X
py="$TOOLS/py/bin/python -B"
keep pytest-mixed $py -m pytest -p no:cacheprovider test_mixed.py
keep pytest-verbose $py -m pytest -p no:cacheprovider -v test_mixed.py
keep pytest-colour $py -m pytest -p no:cacheprovider --color=yes test_mixed.py
keep pytest-quiet $py -m pytest -p no:cacheprovider -q test_mixed.py
keep pytest-none $py -m pytest -p no:cacheprovider unit_none.py
keep pytest-skipped $py -m pytest -p no:cacheprovider skipped.py
keep pytest-junit $py -m pytest -p no:cacheprovider -q --junitxml=/dev/stdout test_mixed.py
keep unittest-mixed $py -m unittest unit_mixed
keep unittest-verbose $py -m unittest -v unit_mixed
keep unittest-none $py -m unittest unit_none
keep unittest-skipped $py -m unittest unit_skipped
keep ruff "$TOOLS/py/bin/ruff" check --no-cache --output-format concise lint.py
keep ruff-full "$TOOLS/py/bin/ruff" check --no-cache lint.py
keep flake8 "$TOOLS/py/bin/flake8" --isolated lint.py
keep mypy "$TOOLS/py/bin/mypy" --cache-dir=/dev/null lint.py
cd ..

mkdir js && cd js || exit 1
ln -s "$TOOLS/js/node_modules" node_modules
echo '{ "name": "x", "private": true }' >package.json
body="test('adds', () => { if (1 + 1 !== 2) throw new Error('no'); });
test('wrong', () => { throw new Error('no'); });
test.skip('later', () => {});"
mkdir jest vitest mocha node none
printf '%s\n' "describe('sum', () => { $body });" >jest/mixed.test.js
printf '%s\n' "describe('sum', () => { test.skip('later', () => {}); });" >jest/skipped.test.js
printf '%s\n' "import { test, describe } from 'vitest';" "describe('sum', () => { $body });" >vitest/mixed.test.js
printf '%s\n' "import { test } from 'vitest'; test.skip('later', () => {});" >vitest/skipped.test.js
printf '%s\n' "describe('sum', () => { $body });" | sed 's/test\b/it/g' >mocha/mixed.js
printf '%s\n' "it.skip('later', () => {});" >mocha/skipped.js
: >mocha/none.js
printf '%s\n' "const { test } = require('node:test');" "$body" >node/mixed.test.js
printf '%s\n' "const { test } = require('node:test'); test.skip('later', () => {});" >node/skipped.test.js
bin="$TOOLS/js/node_modules/.bin"
keep jest-mixed "$bin/jest" --rootDir . jest/mixed
keep jest-verbose "$bin/jest" --rootDir . --verbose jest/mixed
keep jest-colour env FORCE_COLOR=1 "$bin/jest" --rootDir . jest/mixed
keep jest-skipped "$bin/jest" --rootDir . jest/skipped
keep jest-none "$bin/jest" --rootDir . nothing-here
keep vitest-mixed "$bin/vitest" run vitest/mixed
keep vitest-colour env FORCE_COLOR=1 "$bin/vitest" run vitest/mixed
keep vitest-skipped "$bin/vitest" run vitest/skipped
keep vitest-none "$bin/vitest" run nothing-here
keep vitest-tap "$bin/vitest" run --reporter=tap-flat vitest/mixed
keep mocha-mixed "$bin/mocha" mocha/mixed.js
keep mocha-colour "$bin/mocha" --color mocha/mixed.js
keep mocha-skipped "$bin/mocha" mocha/skipped.js
keep mocha-none "$bin/mocha" mocha/none.js
keep node-tap node --test --test-reporter=tap node/mixed.test.js
keep node-spec node --test --test-reporter=spec node/mixed.test.js
keep node-junit node --test --test-reporter=junit node/mixed.test.js
keep node-skipped node --test --test-reporter=spec node/skipped.test.js
keep node-none node --test --test-reporter=spec none
cat >eslint.config.mjs <<'X'
export default [{ rules: { "no-unused-vars": "warn", "no-undef": "error" } }];
X
echo 'const a = 1; missing();' >lint.js
keep eslint "$bin/eslint" lint.js
echo 'export const a: number = "x";' >lint.ts
keep tsc "$bin/tsc" --noEmit --ignoreConfig lint.ts
cd ..

mkdir -p rust/src rust/tests && cd rust || exit 1
printf '[package]\nname = "sum"\nversion = "0.1.0"\nedition = "2021"\n' >Cargo.toml
cat >src/lib.rs <<'X'
/// ```
/// assert_eq!(sum::add(1, 1), 2);
/// ```
pub fn add(a: i32, b: i32) -> i32 { let unused = 1; a + b }
#[cfg(test)]
mod tests {
    #[test] fn adds() { assert_eq!(super::add(1, 1), 2); }
    #[test] fn wrong() { assert_eq!(super::add(1, 1), 3); }
    #[test] #[ignore] fn later() {}
    #[test] #[should_panic] fn panics() { panic!("x") }
}
X
echo '#[test] #[ignore] fn later() {}' >tests/skipped.rs
echo '' >tests/none.rs
export CARGO_NET_OFFLINE=true
keep cargo-mixed cargo test --no-fail-fast
keep cargo-colour cargo test --no-fail-fast --color always -- --color always
keep cargo-none cargo test --test none
keep cargo-skipped cargo test --test skipped
touch src/lib.rs
keep cargo-warnings cargo build
cd ..

if command -v go >/dev/null; then
  mkdir -p go/none && cd go || exit 1
  export GOCACHE="$work/gocache" GOPATH="$work/gopath"
  printf 'module example.org/sum\n\ngo 1.19\n' >go.mod
  printf 'package sum\n\nfunc Add(a, b int) int { return a + b }\n' >sum.go
  printf 'package none\n' >none/none.go
  cat >sum_test.go <<'X'
package sum

import "testing"

func TestAdds(t *testing.T) {
	t.Run("small", func(t *testing.T) {})
}
func TestWrong(t *testing.T) { t.Errorf("got %d", Add(1, 1)) }
func TestLater(t *testing.T) { t.Skip("later") }
X
  keep go-verbose go test -v ./...
  keep go-quiet go test ./...
  keep go-none go test ./none
  keep go-skipped go test -v -run TestLater ./
  printf 'package sum\n\nimport "fmt"\n\nfunc Bad() { fmt.Printf("%%d", "x") }\n' >bad.go
  keep go-vet go vet ./...
  cd ..
fi

if command -v javac >/dev/null && [ -f /usr/share/java/junit4.jar ]; then
  mkdir java && cd java || exit 1
  cat >SumTest.java <<'X'
import java.util.*;
import org.junit.*;
public class SumTest {
    @Test public void adds() { Assert.assertEquals(2, 1 + 1); }
    @Test public void wrong() { Assert.assertEquals(3, 1 + 1); }
    @Test @Ignore public void later() {}
    List raw = new ArrayList();
}
X
  cat >GoodTest.java <<'X'
import org.junit.*;
public class GoodTest { @Test public void adds() { Assert.assertEquals(2, 1 + 1); } }
X
  cp=/usr/share/java/junit4.jar:/usr/share/java/hamcrest-core.jar:.
  keep javac javac -Xlint:all -cp "$cp" SumTest.java GoodTest.java
  keep junit4-mixed java -cp "$cp" org.junit.runner.JUnitCore SumTest
  keep junit4-passed java -cp "$cp" org.junit.runner.JUnitCore GoodTest
fi

repo=/usr/share/maven-repo
if command -v mvn >/dev/null && [ -d "$repo/org/apache/maven/plugins/maven-surefire-plugin" ]; then
  cd "$work" && mkdir -p mvn/src/main/java/sum mvn/src/test/java/sum && cd mvn || exit 1
  cat >pom.xml <<'X'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>org.example</groupId>
  <artifactId>sum</artifactId>
  <version>1.0</version>
  <properties>
    <maven.compiler.source>11</maven.compiler.source>
    <maven.compiler.target>11</maven.compiler.target>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
  <dependencies>
    <dependency><groupId>junit</groupId><artifactId>junit</artifactId><version>4.x</version><scope>test</scope></dependency>
  </dependencies>
  <build><plugins>
    <plugin><artifactId>maven-surefire-plugin</artifactId><version>2.22.3</version></plugin>
    <plugin><artifactId>maven-compiler-plugin</artifactId><version>3.10.1</version></plugin>
    <plugin><artifactId>maven-resources-plugin</artifactId><version>3.3.0</version></plugin>
  </plugins></build>
</project>
X
  cat >src/main/java/sum/Sum.java <<'X'
package sum;
public class Sum { public static int add(int a, int b) { return a + b; } }
X
  cat >src/test/java/sum/SumTest.java <<'X'
package sum;
import static org.junit.Assert.assertEquals;
import org.junit.*;
public class SumTest {
    @Test public void adds() { assertEquals(2, Sum.add(1, 1)); }
    @Test public void wrong() { assertEquals(3, Sum.add(1, 1)); }
    @Test @Ignore public void later() {}
}
X
  keep maven-mixed mvn -o -B -Dmaven.repo.local=$repo test
  sed '/<properties>/,/<\/properties>/d' target/surefire-reports/TEST-sum.SumTest.xml >"$here/maven-junit.log"
  keep maven-colour mvn -o -Dstyle.color=always -Dmaven.repo.local=$repo test
  keep maven-quiet mvn -o -B -q -Dmaven.repo.local=$repo test
  sed -i '/adds()/d; /wrong()/d' src/test/java/sum/SumTest.java
  keep maven-skipped mvn -o -B -Dmaven.repo.local=$repo test
  cat >src/test/java/sum/MoreTest.java <<'X'
package sum;
import static org.junit.Assert.assertEquals;
import org.junit.*;
public class MoreTest {
    @Test public void adds() { System.out.println("interleaved: Tests run far and wide"); assertEquals(2, Sum.add(1, 1)); }
    @Test public void more() { System.err.println("[ERROR] said by the code under test"); assertEquals(3, Sum.add(1, 2)); }
}
X
  keep maven-passed mvn -o -B -Dmaven.repo.local=$repo test
  rm -r src/test target
  keep maven-none mvn -o -B -Dmaven.repo.local=$repo test
fi
